import { Assignments, TaskStatus } from "@berth/proto";
import type { Logger } from "pino";
import { loadOrCreateOwnerKey } from "../../../packages/agent/src/agent/owner-key.js";
import { type AgentState, readState, StateFile } from "../../../packages/agent/src/agent/state-file.js";
import { hostWireguardKey } from "../../../packages/agent/src/networks/wireguard-key.js";
import type { StateDirectory } from "../../../packages/agent/src/runtime/state-directory.js";
import { parseContexts } from "../../../packages/cli/src/client/contexts.js";
import { parseClaim } from "../../../packages/control-plane/src/store/embedded/data-dir.js";
import { logEtcdLine } from "../../../packages/control-plane/src/store/embedded/etcd-log.js";
import { check, checkEqual, isTypedError, unlessRejected } from "../engine/expect.js";
import type { Target } from "../engine/target.js";
import { ASSIGNMENTS, STATUS } from "./samples.js";

const LOG = { warn: () => {}, error: () => {} } as unknown as Logger;
const STATE = JSON.stringify({
  epoch: 7,
  servers: ["10.0.0.1:7400"],
  table: Assignments.toJSON(ASSIGNMENTS),
  dataPlane: { overlayReason: "" },
  tasks: { t1: TaskStatus.toJSON(STATUS) },
});
const CLAIM = JSON.stringify({
  owner: { pid: 5, startTicks: "1", bootId: "b" },
  etcd: { pid: 6, startTicks: "2", bootId: "b" },
  ports: { client: 7_402, peer: 7_403 },
  members: ["10.0.0.1"],
});

export const STATE_FILE_TARGETS: readonly Target[] = [
  {
    name: "agent-state",
    format: "json",
    seeds: [STATE],
    run: async (bytes) => {
      const { state } = await readState(new MemoryStateDirectory(bytes.toString()));
      check(Number.isFinite(state.epoch), "the epoch is a number");
      // protobuf's JSON conversion loses the map key `__proto__`.
      const stored = await storeAndRead(state);
      checkEqual(await storeAndRead(stored), stored, "a state survives a restart");
    },
  },
  {
    name: "key-files",
    seeds: [`${"0a".repeat(32)}\n`, Buffer.alloc(32, 7).toString("base64")],
    maxBytes: 1_024,
    run: async (bytes) => {
      const text = bytes.toString();
      const key = await loadOrCreateOwnerKey(new MemoryStateDirectory(text)).catch(rejected);
      check(key === undefined || /^[0-9a-f]{64}$/.test(key), "an owner key has 64 digits");
      const { publicKey } = await hostWireguardKey(new MemoryStateDirectory(text), LOG);
      check(/^[A-Za-z0-9+/]{43}=$/.test(publicKey), "a public key has 32 bytes");
    },
  },
  {
    name: "etcd-claim",
    format: "json",
    seeds: [CLAIM],
    run: (bytes) => {
      const claim = parseClaim(bytes.toString());
      for (const process of [claim?.owner, claim?.etcd]) {
        check(
          process === undefined || (Number.isInteger(process.pid) && process.pid > 0),
          "a pid is positive",
        );
        check(process === undefined || typeof process.startTicks === "string", "a start time is a text");
      }
      for (const port of Object.values(claim?.ports ?? {})) {
        check(port > 0 && port <= 65_535, "a port is a port");
      }
    },
  },
  {
    name: "etcd-log",
    format: "json",
    seeds: [
      '{"level":"warn","ts":"2026-01-02T03:04:05Z","caller":"a.go:1","msg":"slow","error":"timeout","took":"1s"}',
      "2026-01-02 03:04:05.678901 W | etcd: a warning",
      "panic: runtime error",
    ],
    run: (bytes) => void logEtcdLine(bytes.toString(), LOG),
  },
  {
    name: "contexts",
    format: "json",
    seeds: [
      '{"current":"prod","contexts":{"prod":{"server":"10.0.0.1:7400"},"b":{"server":"10.0.0.2:7400"}}}',
    ],
    run: (bytes) => {
      const text = bytes.toString();
      const config = unlessRejected(
        () => parseContexts(text),
        (error) => error instanceof Error,
      );
      if (config === undefined) return;
      checkEqual(parseContexts(JSON.stringify(config)), config, "contexts survive a change");
      const names = Object.keys(JSON.parse(text).contexts);
      checkEqual(Object.keys(config.contexts), names, "no context is lost");
    },
  },
];

/** A state directory in memory that returns the same content for every file name. */
class MemoryStateDirectory implements StateDirectory {
  #text: string | undefined;

  constructor(text: string | undefined) {
    this.#text = text;
  }

  async read(): Promise<string | undefined> {
    return this.#text;
  }

  async write(name: string, text: string): Promise<void> {
    if (name !== "servers") this.#text = text;
  }

  async quarantine(name: string): Promise<string> {
    return name;
  }

  async writeShared(): Promise<string> {
    return "/shared";
  }

  pathOf(name: string): string {
    return name;
  }
}

async function storeAndRead(state: AgentState): Promise<AgentState> {
  const stateDirectory = new MemoryStateDirectory(undefined);
  const file = new StateFile({ stateDirectory, log: LOG });
  file.setSource(() => state);
  await file.flush();
  return (await readState(stateDirectory)).state;
}

function rejected(error: unknown): undefined {
  if (!isTypedError(error)) throw error;
  return undefined;
}
