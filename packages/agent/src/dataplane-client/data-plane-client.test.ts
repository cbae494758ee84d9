import { setImmediate } from "node:timers/promises";
import { AssignedNetwork, type DnsConfig, DnsEntry, IngressEntry } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { IngressStatus } from "../dataplane/table/ingress-table.js";
import type { OverlayNetworks } from "../networks/overlay-networks.js";
import { HostCondition } from "../node/node-description.js";
import { Ticker } from "../runtime/ticker.js";
import { TaskRecords } from "../tasks/task-records.js";
import { DataPlaneClient, type DataPlaneClientOptions } from "./data-plane-client.js";
import type { IngressClient } from "./ingress-client.js";
import type { ListenerTable } from "./ingress-table.js";

const endpoint = { taskId: "t2", nodeId: "node2", address: "10.0.0.2", port: 32_768 };
const entry = (published: number): IngressEntry =>
  IngressEntry.fromPartial({ key: `tcp//${published}`, published, endpoints: [endpoint] });
const network = AssignedNetwork.fromPartial({ id: "n", vni: 7 });
const dnsEntry = DnsEntry.fromPartial({ key: "n/s", names: ["api"] });
const NOTHING_SAVED = { ingress: [], networks: [], dnsEntries: [] };
const STATUS: IngressStatus = {
  errors: [],
  dnsProblems: [],
  path: { kernel: true, reason: "" },
} as unknown as IngressStatus;

/** An ingress process that accepts everything. */
class AcceptingProcess {
  readonly isServing: boolean;
  readonly tables: ListenerTable[] = [];
  readonly dns: DnsConfig[] = [];
  readonly suspects: (readonly string[])[] = [];
  readonly setFallback = vi.fn();
  readonly watchWaitingClients = vi.fn();
  readonly close = vi.fn();

  constructor({ isServing = false } = {}) {
    this.isServing = isServing;
  }

  readonly apply: IngressClient["apply"] = async (table) => {
    this.tables.push(table);
    return { version: table.version, errors: [] };
  };
  readonly updateDns: IngressClient["updateDns"] = async (config) => void this.dns.push(config);
  readonly setSuspectNodes: IngressClient["setSuspectNodes"] = async (nodeIds) =>
    void this.suspects.push(nodeIds);
  readonly status: IngressClient["status"] = async () => STATUS;
  readonly stats: IngressClient["stats"] = async () => ({ listeners: [] }) as never;

  /** Published ports of the tables that were applied. */
  ports(): number[][] {
    return this.tables.map(({ listeners }) => listeners.map((listener) => listener.entry?.published ?? 0));
  }
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

let stopping: AbortController;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
  stopping = new AbortController();
});
afterEach(() => {
  stopping.abort();
  vi.useRealTimers();
});

function clientWith(parts: Partial<DataPlaneClientOptions>) {
  const overlay = {
    networks: [],
    established: [],
    setDnsEntries: vi.fn(),
    restoreNetworks: vi.fn(),
    setNetworks: vi.fn(),
    detectCapabilities: async () => {},
    run: never,
  };
  const { signal } = stopping;
  const condition = new HostCondition(() => {});
  const client = new DataPlaneClient({
    address: "10.0.0.1",
    nodeId: "node1",
    openIngress: async () => new AcceptingProcess(),
    serveMetrics: undefined,
    peerProbe: async () => true,
    ticker: new Ticker({ signal }),
    overlay: overlay as unknown as OverlayNetworks,
    tasks: new TaskRecords(),
    condition,
    saved: NOTHING_SAVED,
    onWaitingClients: () => {},
    log: pino({ level: "silent" }),
    signal,
    ...parts,
  });
  return { client, condition, overlay };
}

/** Runs the client until the test ends. */
async function start(client: DataPlaneClient): Promise<void> {
  client.run(stopping.signal).catch(() => {});
  await advance(10);
}

/** Also lets immediates run, with which changes of the DNS configuration are combined. */
async function advance(timeMs: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(timeMs);
  for (let turn = 0; turn < 3; turn += 1) await setImmediate();
}

const tables = (sequence: number, published: number) => ({
  sequence,
  ingress: [entry(published)],
  networks: undefined,
  dnsEntries: [dnsEntry],
});

test("DataPlaneClient applies the leader's tables once an ingress process that did not start has started", async () => {
  const process = new AcceptingProcess();
  const openIngress = vi.fn(async () => process);
  openIngress.mockRejectedValueOnce(new Error("no memory"));
  const { client, condition } = clientWith({ openIngress });
  await start(client);
  expect(condition.snapshot.problems).toEqual(["published ports do not work on this host: no memory"]);
  await expect(client.stats(stopping.signal)).rejects.toMatchObject({ code: "BERTH_INGRESS_FAILED" });

  client.updateTables(tables(3, 80));
  expect(client.appliedSequence).toBe(0);
  const applied = client.whenApplied(3);
  await advance(600);
  expect(await applied).toBe(true);
  expect(process.ports()[0]).toEqual([80]);
  expect(process.dns).toHaveLength(1);
  expect([client.appliedSequence, condition.snapshot.problems]).toEqual([3, []]);
  expect(await client.stats(stopping.signal)).toBeDefined();
});

test.each([
  ["sends the saved tables to a new ingress process", false, [80]],
  ["sends no saved tables to a process that serves newer ones", true, undefined],
])("DataPlaneClient %s before the leader sends any", async (_, isServing, ports) => {
  const process = new AcceptingProcess({ isServing });
  const saved = { ingress: [entry(80)], networks: [network], dnsEntries: [dnsEntry] };
  const { client, overlay } = clientWith({ saved, openIngress: async () => process });
  await start(client);
  expect(overlay.restoreNetworks).toHaveBeenCalledWith([network]);
  expect(process.ports().at(-1)).toEqual(ports);
  expect(process.dns).toHaveLength(ports === undefined ? 0 : 1);

  client.updateTables(tables(1, 81));
  await advance(10);
  expect(process.ports().at(-1)).toEqual([81]);
  expect(client.tables).toMatchObject({ ingress: [{ published: 81 }], networks: [network] });
});

test("DataPlaneClient keeps the tables that a message does not change", async () => {
  const { client, overlay } = clientWith({});
  await start(client);
  client.updateNetworks({ networks: [network], dnsEntries: undefined });
  client.updateTables(tables(1, 80));
  client.updateTables({ sequence: 2, ingress: undefined, networks: undefined, dnsEntries: undefined });
  await advance(10);
  expect(overlay.setNetworks).toHaveBeenCalledWith([network]);
  expect(client.tables).toMatchObject({
    ingress: [{ published: 80 }],
    networks: [network],
    dnsEntries: [dnsEntry],
  });
  expect(client.appliedSequence).toBe(2);
});

test("DataPlaneClient moves connections away from a peer that no longer answers", async () => {
  const process = new AcceptingProcess();
  let isAnswering = true;
  const { client } = clientWith({ openIngress: async () => process, peerProbe: async () => isAnswering });
  await start(client);
  client.updateTables(tables(1, 80));
  await advance(1_000);
  expect(process.suspects).toEqual([]);
  isAnswering = false;
  await advance(2_000);
  expect(process.suspects).toEqual([["node2"]]);
  isAnswering = true;
  await advance(2_000);
  expect(process.suspects.at(-1)).toEqual([]);
});

test("DataPlaneClient keeps a silent peer a suspect until the tables without its endpoints are applied", async () => {
  const process = new AcceptingProcess();
  let acceptTables = (): void => {};
  const acceptAtOnce = process.apply;
  let isAnswering = true;
  const { client } = clientWith({ openIngress: async () => process, peerProbe: async () => isAnswering });
  await start(client);
  client.updateTables(tables(1, 80));
  await advance(1_000);
  isAnswering = false;
  await advance(2_000);
  expect(process.suspects).toEqual([["node2"]]);

  vi.spyOn(process, "apply").mockImplementation(async (table, signal) => {
    await new Promise<void>((resolve) => {
      acceptTables = resolve;
    });
    return acceptAtOnce(table, signal);
  });
  client.updateTables({ ...tables(2, 80), ingress: [], dnsEntries: [] });
  await advance(100);
  expect(process.suspects).toEqual([["node2"]]);
  acceptTables();
  await advance(100);
  expect(process.suspects).toEqual([["node2"], []]);
});

test("DataPlaneClient rejects and stops when the metrics address is in use, and close() only disconnects", async () => {
  const inUse = clientWith({ serveMetrics: () => Promise.reject(new Error("address in use")) });
  await expect(inUse.client.run(stopping.signal)).rejects.toThrow("address in use");
  const process = new AcceptingProcess();
  const { client } = clientWith({ openIngress: async () => process });
  client.close();
  await start(client);
  client.close();
  expect(process.close).toHaveBeenCalledTimes(1);
});
