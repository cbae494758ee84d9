import { IngressEntry } from "@berth/proto";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { buildService } from "../core/testing/records.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { EntryTable } from "./entry-table.js";
import { TrafficTables } from "./traffic-tables.js";

function entry(key: string, serviceName: string, ports: readonly number[] = []): IngressEntry {
  return IngressEntry.fromPartial({
    key,
    serviceName,
    endpoints: ports.map((port) => ({ taskId: `t${port}`, port })),
  });
}

describe("EntryTable", () => {
  it("returns the keys that a replacement changed, and no others", () => {
    const table = new EntryTable<IngressEntry>();
    expect(table.replaceOfService("s1", [entry("a", "x"), entry("b", "x")])).toEqual(["a", "b"]);
    expect(table.replaceOfService("s1", [entry("a", "x"), entry("b", "x", [1])])).toEqual(["b"]);
    expect(table.replaceOfService("s1", [entry("b", "x", [1])])).toEqual(["a"]);
    expect([...table.values()].map(({ key }) => key)).toEqual(["b"]);
  });

  it("keeps a key with the service that took it over", () => {
    const table = new EntryTable<IngressEntry>();
    table.replaceOfService("old", [entry("a", "old")]);
    table.replaceOfService("new", [entry("a", "new")]);
    expect(table.replaceOfService("old", [])).toEqual([]);
    expect(table.get("a")?.serviceName).toBe("new");
    expect(table.ofService("old")).toEqual([]);
    expect(table.ofService("new")).toHaveLength(1);
  });
});

/** Tables with one ingress entry a service, whose computation fails for the services in `broken`. */
function tablesWith(serviceIds: readonly string[]) {
  const clock = new ManualClock();
  const state = new ClusterState();
  const broken = new Set<string>();
  let port = 0;
  const put = (id: string): void => {
    port += 1;
    const change = { kind: "put-service", service: buildService({ id }) } as const;
    state.apply([{ change, revision: BigInt(port) }]);
  };
  const tables = new TrafficTables({
    state,
    clock,
    logger: pino({ level: "silent" }),
    computeIngressEntries: (id) => {
      if (broken.has(id)) throw new Error("broken record");
      return state.services.get(id) === undefined ? [] : [entry(id, id, [port])];
    },
    computeDnsEntries: () => [],
    hasStaticFdb: () => false,
    signal: new AbortController().signal,
  });
  for (const id of serviceIds) put(id);
  return { clock, tables, broken, put };
}

/** Tables with a service "web", whose number of endpoints the test sets. */
function gainingTables() {
  const clock = new ManualClock();
  const state = new ClusterState();
  let ports: readonly number[] = [];
  let revision = 0n;
  const setEndpoints = (count: number): void => {
    ports = Array.from({ length: count }, (_, index) => index + 1);
    revision += 1n;
    state.apply([{ change: { kind: "put-service", service: buildService({ id: "web" }) }, revision }]);
  };
  const tables = new TrafficTables({
    state,
    clock,
    logger: pino({ level: "silent" }),
    computeIngressEntries: () => [entry("web", "web", ports)],
    computeDnsEntries: () => [],
    hasStaticFdb: () => false,
    signal: new AbortController().signal,
  });
  return { clock, tables, setEndpoints };
}

describe("TrafficTables", () => {
  it("notifies the other listeners when one of them throws", async () => {
    const { clock, tables } = tablesWith(["s1"]);
    const seen: string[] = [];
    tables.onChange(() => {
      throw new Error("broken listener");
    });
    tables.onChange(({ ingress }) => seen.push(...ingress));
    tables.onUpdated(() => seen.push("updated"));
    await clock.advance(5);
    expect(seen).toEqual(["s1", "updated"]);
  });

  it("updates the other services when one cannot be computed, and retries that one later", async () => {
    const { clock, tables, broken, put } = tablesWith(["bad", "good"]);
    broken.add("bad");
    await clock.advance(5);
    expect([...tables.ingress.values()].map(({ key }) => key)).toEqual(["good"]);
    expect(tables.isStale("bad")).toBe(true);
    broken.clear();
    put("good");
    await clock.advance(5);
    expect(tables.ingress.get("bad")).toBeDefined();
    expect(tables.isStale("bad")).toBe(false);
  });

  it("adds endpoints to a service that has some at most every 500 ms, and applies other changes at once", async () => {
    const { clock, tables, setEndpoints } = gainingTables();
    const changes: number[] = [];
    const startMs = clock.nowMs();
    tables.onChange(() => changes.push(clock.nowMs() - startMs));
    const endpoints = (): number => tables.ingress.get("web")?.endpoints.length ?? 0;
    setEndpoints(1);
    await clock.advance(100);
    setEndpoints(2);
    await clock.advance(100);
    setEndpoints(3);
    await clock.advance(100);
    // A drain need not wait for additional endpoints.
    expect([endpoints(), tables.isStale("web")]).toEqual([1, false]);
    await clock.advance(300);
    expect(endpoints()).toBe(3);
    setEndpoints(4);
    await clock.advance(100);
    setEndpoints(2);
    await clock.advance(100);
    expect(endpoints()).toBe(2);
    await clock.advance(2_000);
    setEndpoints(3);
    await clock.advance(10);
    expect(endpoints()).toBe(3);
    expect(changes).toEqual([5, 510, 705, 2_805]);
  });
});
