import { NodeState } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DOWN_AFTER_MS, HEARTBEAT_MS } from "../core/liveness.js";
import { buildNode } from "../core/test-records.js";
import { ClusterState } from "../state/cluster-state.js";
import { LEADER_KEY, nodeKey } from "../store/keys.js";
import { ManualClock } from "../store/manual-clock.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import { readOne } from "../store/read.js";
import { LagMeter } from "./lag-meter.js";
import { Liveness } from "./liveness.js";
import { Writer } from "./writer.js";

const logger = pino({ level: "silent" });
const never = new AbortController().signal;

let clock: ManualClock;
let store: MemoryStore;
let state: ClusterState;
let liveness: Liveness;
let over: AbortController;
let lateBeats: number;
let parts: Promise<void>[];

beforeEach(async () => {
  clock = new ManualClock();
  store = new MemoryStore({ clock });
  state = new ClusterState();
  over = new AbortController();
  const { signal } = over;
  const outcome = await store.txn({ ops: [{ kind: "put", key: LEADER_KEY, value: "" }] }, never);
  const epoch = outcome.kind === "committed" ? outcome.revision : 0n;
  const writer = new Writer({
    store,
    state,
    fence: { kind: "created-at", key: LEADER_KEY, revision: epoch },
    clock,
    logger,
    observer: { onTransaction: () => {} },
  });
  const lag = new LagMeter(clock);
  parts = [writer.run(signal), lag.run(signal)];
  await writer.submit(
    () => ({
      changes: ["a", "b"].map((id) => ({
        kind: "put-node",
        node: buildNode({ id, state: NodeState.READY }),
      })),
      result: undefined,
    }),
    never,
  );
  const runtime = { clock, now: () => clock.nowMs(), random: () => 0, newId: () => "id" };
  lateBeats = 0;
  const observer = { onLateBeat: () => (lateBeats += 1) };
  liveness = new Liveness({ state, writer, runtime, lag, logger, observer, signal });
});
afterEach(async () => {
  over.abort(new Error("the test is over"));
  await Promise.all(parts);
  store.close();
});

/** Lets time pass in which these nodes are heard. */
async function pass(ms: number, alive: readonly string[]): Promise<void> {
  for (let passed = 0; passed < ms; passed += HEARTBEAT_MS) {
    for (const nodeId of alive) liveness.beat(nodeId);
    await clock.advance(HEARTBEAT_MS);
  }
}

const stateOf = (nodeId: string): NodeState | undefined => state.nodes.get(nodeId)?.state;

describe("Liveness", () => {
  it("writes that a silent node is down, and ready again with its next beat", async () => {
    await pass(DOWN_AFTER_MS - HEARTBEAT_MS, ["a"]);
    expect([stateOf("a"), stateOf("b")]).toEqual([NodeState.READY, NodeState.READY]);
    await pass(2 * HEARTBEAT_MS, ["a"]);
    expect([stateOf("a"), stateOf("b")]).toEqual([NodeState.READY, NodeState.DOWN]);
    expect((await readOne(store, nodeKey("b"), never))?.value).toContain("NODE_STATE_DOWN");
    await pass(HEARTBEAT_MS, ["a", "b"]);
    expect(stateOf("b")).toBe(NodeState.READY);
  });

  it("blames nobody for a time in which this process stood still", async () => {
    await pass(DOWN_AFTER_MS, ["a", "b"]);
    clock.jump(3 * DOWN_AFTER_MS);
    await clock.advance(HEARTBEAT_MS);
    expect([stateOf("a"), stateOf("b")]).toEqual([NodeState.READY, NodeState.READY]);
    await pass(4 * DOWN_AFTER_MS, ["a"]);
    expect([stateOf("a"), stateOf("b")]).toEqual([NodeState.READY, NodeState.DOWN]);
  });

  it("tells of beats that come late, once for each silence", async () => {
    await pass(4 * HEARTBEAT_MS, ["a", "b"]);
    expect(lateBeats).toBe(0);
    await pass(3 * HEARTBEAT_MS, ["a"]);
    await pass(4 * HEARTBEAT_MS, ["a", "b"]);
    expect(lateBeats).toBe(1);
  });

  it("writes nothing while nothing changes", async () => {
    const before = (await readOne(store, nodeKey("a"), never))?.modRevision;
    await pass(10 * DOWN_AFTER_MS, ["a", "b"]);
    expect((await readOne(store, nodeKey("a"), never))?.modRevision).toBe(before);
  });
});
