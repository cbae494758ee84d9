import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AssignedNetwork,
  DataPlane,
  DEFAULT_POLICY,
  DnsEntry,
  IngressEntry,
  Policy,
  TaskState,
  TaskStatus,
} from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { directoryDisk } from "../runtime/disk.js";
import { type AgentState, readState, StateFile } from "./state-file.js";

const log = pino({ level: "silent" });
let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "berth-state-"));
});
afterEach(() => rm(dataDir, { recursive: true }));

const state: AgentState = {
  epoch: 7,
  servers: ["10.0.0.1:7400", "10.0.0.2:7400"],
  ingress: [
    IngressEntry.fromPartial({ key: "tcp//80", published: 80, endpoints: [{ taskId: "t", port: 1 }] }),
  ],
  networks: [AssignedNetwork.fromPartial({ id: "n", vni: 7, peers: [{ nodeId: "b", address: "10.0.0.2" }] })],
  dnsEntries: [DnsEntry.fromPartial({ key: "n/s", names: ["api"], endpoints: [{ address: "10.64.1.2" }] })],
  policy: Policy.fromPartial({
    rules: [{ name: "apps", stacks: ["*"], privileged: false, binds: { allow: { values: ["/srv:ro"] } } }],
  }),
  dataPlane: DataPlane.fromPartial({ overlay: true, wireguardPublicKey: "key" }),
  statuses: new Map([
    ["t", TaskStatus.fromPartial({ state: TaskState.FAILED, containerId: "c", exitCode: 0 })],
  ]),
};

test("readState returns the state that StateFile wrote, and a blank state before", async () => {
  expect(await readState(directoryDisk(dataDir), log)).toEqual({
    epoch: 0,
    servers: [],
    ingress: [],
    networks: [],
    dnsEntries: [],
    policy: DEFAULT_POLICY,
    dataPlane: expect.objectContaining({ overlay: false }),
    statuses: new Map(),
  });
  const file = new StateFile({ disk: directoryDisk(dataDir), log });
  file.setSource(() => state);
  file.scheduleWrite();
  await file.flush();
  expect(await readState(directoryDisk(dataDir), log)).toEqual(state);
  expect(await readdir(dataDir)).toEqual(["state.json"]);
});

test.each(['{"epoch":', '{"epoch":7,"tasks":{"t":{"exitCode":"x"}}}'])(
  "readState ignores the invalid file %s",
  async (text) => {
    await writeFile(join(dataDir, "state.json"), text);
    expect(await readState(directoryDisk(dataDir), log)).toMatchObject({ epoch: 0 });
  },
);
