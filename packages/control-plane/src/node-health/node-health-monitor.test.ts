import { LEADER_ASSUMES_FENCED_AFTER_MS, NodeState, type ProbeRequest } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  AGENT_AWAY_AFTER_MS,
  DOWN_AFTER_MS,
  DOWN_UNCONFIRMED_AFTER_MS,
} from "../core/node-health/silence-thresholds.js";
import { FAILOVER_PAUSE_MS } from "../core/node-health/suspect-nodes.js";
import { recordKey } from "../state/change.js";
import { readOne } from "../store/read.js";
import type { NodeHealthMonitor } from "./node-health-monitor.js";
import { type NodeHealthRig, startNodeHealthRig } from "./test-node-health-rig.js";

const never = new AbortController().signal;
const HEARTBEAT_MS = 250;
const NODES = ["a", "b", "c", "d"];

let rig: NodeHealthRig;
let clock: NodeHealthRig["clock"];
let store: NodeHealthRig["store"];
let state: NodeHealthRig["state"];
let monitor: NodeHealthMonitor;
let lateHeartbeats: number;
let suspected: number;
let intervals: number[];
/** A node ID with `-` when it became suspect, with `+` when it was trusted again. */
let suspicions: string[];
/** Hosts whose kernels answer. */
let reachable: Set<string>;
/** Peers whose results are lost. */
let mute: Set<string>;
/** Fails the leader's own probes. Heartbeats still arrive. */
let isServerCutOff: boolean;

beforeEach(async () => {
  rig = await startNodeHealthRig(NODES);
  ({ clock, store, state } = rig);
  lateHeartbeats = 0;
  suspected = 0;
  intervals = [];
  suspicions = [];
  reachable = new Set(NODES);
  mute = new Set();
  isServerCutOff = false;
});
afterEach(() => rig.close());

/** Starts the term of the leader. */
function lead(): void {
  monitor = rig.lead({
    observer: { onLateHeartbeat: () => (lateHeartbeats += 1), onSuspect: () => (suspected += 1) },
    probe: async ({ address }) => !isServerCutOff && reachable.has(address),
    sendProbeRequest: ask,
    onSuspicion: (nodeId) => suspicions.push(`${monitor.isSuspect(nodeId) ? "-" : "+"}${nodeId}`),
    onHeartbeatInterval: (heartbeatMs) => intervals.push(heartbeatMs),
  });
}

/** Live peers answer after 20 ms. */
function ask(peerId: string, { requestId, address }: ProbeRequest): boolean {
  if (!reachable.has(peerId) || mute.has(peerId)) return true;
  clock.after(20, () => monitor.recordProbeResult(peerId, { requestId, answered: reachable.has(address) }));
  return true;
}

/** Advances the clock while these nodes send heartbeats. */
async function pass(ms: number, heard: readonly string[]): Promise<void> {
  for (let passed = 0; passed < ms; passed += HEARTBEAT_MS) {
    for (const nodeId of heard) monitor.recordHeartbeat(nodeId, 0);
    await clock.advance(HEARTBEAT_MS);
  }
}

const down = (): readonly string[] => NODES.filter((id) => state.nodes.get(id)?.state === NodeState.DOWN);

describe("NodeHealthMonitor", () => {
  it("suspects a silent host, writes that it is down when its peers agree, and readmits it", async () => {
    lead();
    await pass(2_000, NODES);
    reachable.delete("b");
    await pass(500, ["a", "c", "d"]);
    expect(suspicions).toEqual(["-b"]);
    expect(down()).toEqual([]);
    await pass(500, ["a", "c", "d"]);
    expect(down()).toEqual(["b"]);
    expect((await readOne(store, recordKey("node", { nodeId: "b" }), never))?.value).toContain(
      "3 of 3 probes failed",
    );
    reachable.add("b");
    await pass(HEARTBEAT_MS, NODES);
    expect(down()).toEqual([]);
    expect(suspicions).toEqual(["-b", "+b"]);
    expect(suspected).toBe(1);
  });

  it("keeps a host whose agent is silent, and reports the agent", async () => {
    lead();
    await pass(2_000, NODES);
    await pass(AGENT_AWAY_AFTER_MS + 500, ["a", "c", "d"]);
    expect(suspicions).toEqual([]);
    expect(state.nodes.get("b")).toMatchObject({ state: NodeState.READY, agentUnreachable: true });
    reachable.delete("b");
    await pass(DOWN_AFTER_MS + 1_500, ["a", "c", "d"]);
    expect(down()).toEqual(["b"]);
  });

  it("declares the former node of a reinstalled host down, but not nodes that share a host", async () => {
    lead();
    await pass(1_000, NODES);
    await rig.addNodes(["beside"], "b");
    await pass(1_000, [...NODES, "beside"]);
    await pass(DOWN_AFTER_MS + 500, ["a", "c", "d", "beside"]);
    expect(down()).toEqual([]);
    await rig.addNodes(["again"], "b");
    await pass(DOWN_AFTER_MS + 500, ["a", "c", "d", "again"]);
    expect(down()).toEqual(["b"]);
  });

  it("takes longer when a voter does not answer", async () => {
    lead();
    await pass(2_000, NODES);
    reachable.delete("b");
    mute.add("c");
    await pass(1_000, ["a", "c", "d"]);
    expect(down()).toEqual([]);
    await pass(250, ["a", "c", "d"]);
    expect(down()).toEqual(["b"]);
  });

  it("trusts the peers rather than the leader's own probe", async () => {
    lead();
    await pass(2_000, NODES);
    isServerCutOff = true;
    await pass(DOWN_UNCONFIRMED_AFTER_MS + 500, ["a", "c", "d"]);
    expect(down()).toEqual([]);
    expect(state.nodes.get("b")?.agentUnreachable).toBe(true);
  });

  it("waits longer for a node that never answered probes", async () => {
    reachable.delete("b");
    lead();
    await pass(4_000, NODES);
    expect(suspicions).toEqual([]);
    await pass(DOWN_UNCONFIRMED_AFTER_MS - 500, ["a", "c", "d"]);
    expect(down()).toEqual([]);
    await pass(500, ["a", "c", "d"]);
    expect(down()).toEqual(["b"]);
  });

  it("detects a host that died before the takeover", async () => {
    reachable.delete("b");
    lead();
    await pass(1_250, ["a", "c", "d"]);
    expect(down()).toEqual(["b"]);
  });

  it("freezes when most nodes fall silent at once, and resumes when that is confirmed", async () => {
    lead();
    await pass(2_000, NODES);
    for (const nodeId of ["b", "c", "d"]) reachable.delete(nodeId);
    await pass(FAILOVER_PAUSE_MS, ["a"]);
    expect(down()).toEqual([]);
    expect(state.nodes.get("b")?.stateMessage).toMatch(/3 of 4 nodes became unreachable at once/);
    await pass(1_500, ["a"]);
    expect(down()).toEqual(["b", "c", "d"]);
  });

  it("ends a failover pause when the nodes are heard again", async () => {
    lead();
    await pass(2_000, NODES);
    reachable = new Set();
    await pass(3_000, []);
    expect(suspicions.sort()).toEqual(["-a", "-b", "-c", "-d"]);
    reachable = new Set(NODES);
    await pass(1_000, NODES);
    expect(suspicions).toHaveLength(8);
    expect(NODES.map((id) => state.nodes.get(id)?.stateMessage)).toEqual(["", "", "", ""]);
  });

  it("fences a down node once its agent must have stopped its at-most-one tasks", async () => {
    lead();
    await pass(2_000, NODES);
    reachable.delete("b");
    await pass(LEADER_ASSUMES_FENCED_AFTER_MS - 500, ["a", "c", "d"]);
    expect(state.nodes.get("b")).toMatchObject({ state: NodeState.DOWN, fenced: false });
    await pass(2_500, ["a", "c", "d"]);
    expect(state.nodes.get("b")).toMatchObject({ state: NodeState.DOWN, fenced: true });
  });

  it("ignores the time in which the leader's process stood still", async () => {
    lead();
    await pass(3_000, NODES);
    reachable = new Set();
    for (const nodeId of NODES) monitor.recordHeartbeat(nodeId, 0);
    clock.jump(10_000);
    await clock.advance(50);
    expect(suspicions).toEqual([]);
    reachable = new Set(NODES);
    await pass(3_000, NODES);
    expect(down()).toEqual([]);
  });

  it("counts a late heartbeat once per silence", async () => {
    lead();
    await pass(1_000, NODES);
    expect(lateHeartbeats).toBe(0);
    await pass(750, ["a"]);
    await pass(1_000, ["a", "b"]);
    expect(lateHeartbeats).toBe(1);
  });

  it("writes nothing while nothing changes", async () => {
    lead();
    await pass(250, NODES);
    const before = (await readOne(store, recordKey("node", { nodeId: "a" }), never))?.modRevision;
    await pass(10_000, NODES);
    expect((await readOne(store, recordKey("node", { nodeId: "a" }), never))?.modRevision).toBe(before);
  });

  it("lengthens the heartbeat interval when the cluster grows", async () => {
    lead();
    expect(monitor.heartbeatMs).toBe(250);
    await rig.addNodes(Array.from({ length: 60 }, (_, index) => `n${index}`));
    expect([monitor.heartbeatMs, intervals]).toEqual([500, [500]]);
  });
});
