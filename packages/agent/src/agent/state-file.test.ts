import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
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
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openStateDirectory, type StateDirectory } from "../runtime/state-directory.js";
import {
  type AgentState,
  loadState,
  parseServers,
  readState,
  StateFile,
  writeFirstState,
} from "./state-file.js";

const log = pino({ level: "silent" });
let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "berth-state-"));
});
afterEach(() => rm(dataDir, { recursive: true }));

const state: AgentState = {
  epoch: 7,
  generation: 3,
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
  expect((await readState(openStateDirectory(dataDir))).state).toEqual({
    epoch: 0,
    generation: 0,
    servers: [],
    ingress: [],
    networks: [],
    dnsEntries: [],
    policy: DEFAULT_POLICY,
    dataPlane: expect.objectContaining({ overlay: false }),
    statuses: new Map(),
  });
  const file = new StateFile({ stateDirectory: openStateDirectory(dataDir), log });
  file.setSource(() => state);
  file.scheduleWrite();
  await file.flush();
  expect(await readState(openStateDirectory(dataDir))).toEqual({ state, damage: "" });
  expect(await readdir(dataDir)).toEqual(["servers", "state.json"]);
});

test.each(["", '{"epoch":', '{"epoch":7,"tasks":{"t":{"exitCode":"x"}}}'])(
  "loadState keeps the damaged file %j under another name, and finds the servers",
  async (text) => {
    const stateDirectory = openStateDirectory(dataDir);
    await writeFirstState(stateDirectory, ["10.0.0.1:7400"]);
    await writeFile(join(dataDir, "state.json"), text);
    const warnings: string[] = [];
    const state = await loadState(stateDirectory, {
      warn: (_: unknown, message?: string) => warnings.push(message ?? ""),
    });
    expect(state).toMatchObject({ epoch: 0, servers: ["10.0.0.1:7400"] });
    expect(await readFile(join(dataDir, "state.json.damaged"), "utf8")).toBe(text);
    expect(warnings).toEqual([
      expect.stringMatching(/state\.json is damaged and was renamed to .*\.damaged/),
    ]);
    expect((await readdir(dataDir)).sort()).toEqual(["servers", "state.json.damaged"]);
  },
);

test("parseServers ignores damaged lines", () => {
  expect(parseServers("10.0.0.1:7400\n10.0.0.2:74\0\n\nhost:7400")).toEqual(["10.0.0.1:7400", "host:7400"]);
});

test("reports once why the state cannot be written, and writes it when the disk has space again", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const stateDirectory = openStateDirectory(dataDir);
    let isFull = true;
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const write: StateDirectory["write"] = (name, text) =>
      isFull ? Promise.reject(full) : stateDirectory.write(name, text);
    const problems: string[] = [];
    const onProblem = (problem: string): void => void problems.push(problem);
    const file = new StateFile({ stateDirectory: { ...stateDirectory, write }, log, onProblem });
    file.setSource(() => state);
    await file.flush();
    await file.flush();
    expect(problems).toEqual([expect.stringMatching(/state\.json: the disk is full; free some space on it/)]);
    isFull = false;
    await vi.advanceTimersByTimeAsync(5_000);
    await file.flush();
    expect(problems.at(-1)).toBe("");
    expect((await readState(stateDirectory)).state).toEqual(state);
  } finally {
    vi.useRealTimers();
  }
});
