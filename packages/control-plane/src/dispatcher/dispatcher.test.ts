import { Hello, PROTOCOL_FIELDS, Restore, SessionRequest } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import type { Writer } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import { systemRuntime } from "../runtime/runtime.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { Dispatcher } from "./dispatcher.js";
import { SessionRegistry } from "./session-registry.js";
import { StatusWriter } from "./status-writer.js";
import { TrafficTables } from "./traffic-tables.js";

/** A writer whose store never answers. */
const STUCK_WRITER = {
  hasBacklog: false,
  onBacklogCleared: () => () => {},
  submit: (_decide: unknown, signal: AbortSignal) =>
    new Promise((_, reject) => {
      onAbort(signal, () => reject(signal.reason));
    }),
} as unknown as Writer;

const NODE = { kind: "node", id: "n1" } as const;

function dispatcherWith(term: AbortSignal) {
  const clock = new ManualClock();
  const runtime = { ...systemRuntime, clock };
  const logger = pino({ level: "silent" });
  const state = new ClusterState();
  const shared = { state, runtime, logger, writer: STUCK_WRITER, signal: term };
  const hasStaticFdb = (): boolean => false;
  const sessions = new SessionRegistry(logger);
  const dispatcher = new Dispatcher({
    ...shared,
    sessions,
    restoreMonitor: { record: () => {} },
    epoch: 1n,
    servers: () => [],
    tables: new TrafficTables({
      ...shared,
      clock,
      computeIngressEntries: () => [],
      computeDnsEntries: () => [],
      hasStaticFdb,
    }),
    hasStaticFdb,
    statusWriter: new StatusWriter(shared),
    nodeHealth: {
      heartbeatMs: 250,
      isSuspect: () => false,
      recordHeartbeat: () => {},
      recordProbeResult: () => {},
    },
    trafficCollector: { recordReport: () => {} },
    imageResolver: { recordReply: () => {} },
    imageInventories: { recordInventory: () => {}, recordRemoval: () => {}, recordFetch: () => {} },
    autoscaler: { recordUsage: () => {}, usageRequest: undefined },
    waitingClients: { record: () => {}, forget: () => {} },
    authorities: () => undefined,
    sealer: undefined,
    loginSealer: undefined,
    loginChecks: { record: () => {} },
    volumes: { record: () => {} },
    mustJoin: false,
  });
  return { clock, dispatcher, sessions, state };
}

async function* hello(generation = 0, timingScale = 0): AsyncGenerator<SessionRequest> {
  const description = { hostname: "n1", address: "192.0.2.1" };
  const value = Hello.fromPartial({
    nodeId: "n1",
    ...PROTOCOL_FIELDS,
    bootId: "boot",
    description,
    generation,
    timingScale,
  });
  yield SessionRequest.fromPartial({ message: { $case: "hello", value } });
  await new Promise(() => {});
}

test("a session ends when etcd does not accept the node's registration in time", async () => {
  const { clock, dispatcher, sessions } = dispatcherWith(new AbortController().signal);
  const context = { signal: new AbortController().signal, peer: "n1:1", caller: NODE };
  const first = expect(dispatcher.serve(hello(), context).next()).rejects.toMatchObject({
    code: "BERTH_DEADLINE",
  });
  await clock.advance(10_000);
  await first;
  expect(sessions.size).toBe(0);
});

test("a session whose node is being registered ends with the term", async () => {
  const term = new AbortController();
  const { clock, dispatcher } = dispatcherWith(term.signal);
  const context = { signal: new AbortController().signal, peer: "n1:1", caller: NODE };
  const first = expect(dispatcher.serve(hello(), context).next()).rejects.toThrow("the term is over");
  await clock.advance(10);
  term.abort(new Error("the term is over"));
  await first;
});

test("a server from before a restore refuses agents that have joined the restored cluster", async () => {
  const { dispatcher, state } = dispatcherWith(new AbortController().signal);
  const context = { signal: new AbortController().signal, peer: "n1:1", caller: NODE };
  const refused = { code: "BERTH_STALE_EPOCH", message: expect.stringContaining("stop this server") };
  await expect(dispatcher.serve(hello(1_000), context).next()).rejects.toMatchObject(refused);
  state.restores.set("cluster", Restore.fromPartial({ generation: 999 }));
  await expect(dispatcher.serve(hello(1_000), context).next()).rejects.toMatchObject(refused);
});

test("a leader refuses an agent whose timings have another factor", async () => {
  const { dispatcher } = dispatcherWith(new AbortController().signal);
  const context = { signal: new AbortController().signal, peer: "n1:1", caller: NODE };
  await expect(dispatcher.serve(hello(0, 10), context).next()).rejects.toMatchObject({
    code: "BERTH_PROTOCOL",
    message: "BERTH_TIMING_SCALE is 10 on the agent and 1 on the server; set the same value on all hosts",
  });
});
