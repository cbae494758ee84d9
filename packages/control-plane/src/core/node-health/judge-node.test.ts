import { CONFIRM_DOWN_MS, LEADER_ASSUMES_FENCED_AFTER_MS, NodeState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildNode } from "../testing/records.js";
import {
  judgeNode,
  type NodeHealthContext,
  type NodeHealthInput,
  type NodeHealthVerdict,
} from "./judge-node.js";
import { NO_VOTES, type ProbeVotes } from "./probe-votes.js";
import {
  AGENT_AWAY_AFTER_MS,
  AGENT_LOST_AFTER_MS,
  DOWN_AFTER_MS,
  DOWN_UNCONFIRMED_AFTER_MS,
  TAKEOVER_GRACE_MS,
  TAKEOVER_LATE_MS,
} from "./silence-thresholds.js";
import { FAILOVER_PAUSE_MS, type FailoverPause } from "./suspect-nodes.js";

const HEARD_MS = 100_000;
const HEARTBEAT_MS = 250;
const SILENT: ProbeVotes = { asked: 3, silent: 2, alive: 0 };
/** Two rounds in which every voter failed. */
const CONFIRMED = { votes: { asked: 3, silent: 3, alive: 0 }, failedRounds: 2 };
const CONFIRMED_DOWN_AFTER_MS = 1_000;
const LIVES: ProbeVotes = { asked: 3, silent: 1, alive: 2 };
const FAILOVER_PAUSE: FailoverPause = { sinceMs: HEARD_MS + 400, reason: "most nodes fell silent" };

/** Judges a node that was last heard `silentMs` ago. */
function after(
  silentMs: number,
  {
    input = {},
    context = {},
  }: { readonly input?: Partial<NodeHealthInput>; readonly context?: Partial<NodeHealthContext> } = {},
): NodeHealthVerdict {
  return judgeNode(
    {
      node: buildNode({ state: NodeState.READY, stateMessage: "" }),
      lastHeartbeatMs: HEARD_MS,
      heartbeatMs: HEARTBEAT_MS,
      agentLagMs: 0,
      votes: NO_VOTES,
      failedRounds: 0,
      hostRespondedMs: undefined,
      replacedBy: undefined,
      ...input,
    },
    {
      nowMs: HEARD_MS + silentMs,
      leadingSinceMs: 0,
      lagMs: 0,
      failoverPause: undefined,
      isRestorePending: false,
      ...context,
    },
  );
}

const isDown = ({ condition }: NodeHealthVerdict): boolean => condition?.state === NodeState.DOWN;

describe("judgeNode of a node that is up", () => {
  it("changes nothing while heartbeats are on time", () => {
    const verdict = after(HEARTBEAT_MS);
    expect(verdict).toMatchObject({ condition: undefined, isSuspect: false, isLate: false });
    expect(verdict.checkAtMs).toBe(HEARD_MS + 300);
  });

  it("probes a late node and suspects it after 0.4 s unless its host answers", () => {
    expect(after(350)).toMatchObject({ isLate: true, isSuspect: false });
    expect(after(400)).toMatchObject({ isLate: true, isSuspect: true, condition: undefined });
    expect(after(400, { input: { votes: LIVES } })).toMatchObject({ isLate: true, isSuspect: false });
  });

  it("declares a node down after 1.4 s when most voters find its host silent", () => {
    expect(isDown(after(DOWN_AFTER_MS - 1, { input: { votes: SILENT } }))).toBe(false);
    const verdict = after(DOWN_AFTER_MS, { input: { votes: SILENT } });
    expect(verdict.condition?.stateMessage).toMatch(/unreachable for 1\.4 s: 2 of 3 probes failed/);
    expect(verdict.isSuspect).toBe(true);
  });

  it("declares a node down after 1.0 s when every voter failed in two rounds", () => {
    expect(isDown(after(CONFIRMED_DOWN_AFTER_MS - 1, { input: CONFIRMED }))).toBe(false);
    expect(isDown(after(CONFIRMED_DOWN_AFTER_MS, { input: CONFIRMED }))).toBe(true);
    const once = { ...CONFIRMED, failedRounds: 1 };
    expect(isDown(after(DOWN_AFTER_MS - 1, { input: once }))).toBe(false);
    const answered = { ...CONFIRMED, hostRespondedMs: HEARD_MS + 500 };
    expect(isDown(after(CONFIRMED_DOWN_AFTER_MS, { input: answered }))).toBe(false);
    const lagging = { input: CONFIRMED, context: { lagMs: 300 } };
    expect(isDown(after(CONFIRMED_DOWN_AFTER_MS, lagging))).toBe(false);
  });

  it("declares no node down that has not connected since a restore from a backup", () => {
    const unheard = { votes: LIVES, lastHeartbeatMs: undefined };
    for (const input of [unheard, { ...unheard, ...CONFIRMED }]) {
      const silentMs = 10 * AGENT_LOST_AFTER_MS;
      expect(isDown(after(silentMs, { input, context: { isRestorePending: true } }))).toBe(false);
      expect(isDown(after(silentMs, { input }))).toBe(true);
    }
    const heard = { input: CONFIRMED, context: { isRestorePending: true } };
    expect(isDown(after(CONFIRMED_DOWN_AFTER_MS, heard))).toBe(true);
  });

  it("waits 5 s when no voter reports, and when the host ignores probes", () => {
    const node = buildNode({ state: NodeState.READY, ignoresProbes: true });
    for (const input of [{}, { votes: SILENT, node }]) {
      expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS - 1, { input }))).toBe(false);
      expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS, { input }))).toBe(true);
    }
  });

  it("reports an unreachable agent on a live host after 3 s, and gives it up after a minute", () => {
    const input = { votes: LIVES, hostRespondedMs: HEARD_MS + 2_900 };
    expect(after(AGENT_AWAY_AFTER_MS - 1, { input }).condition).toBeUndefined();
    const away = after(AGENT_AWAY_AFTER_MS, { input }).condition;
    expect(away).toMatchObject({ state: NodeState.READY, agentUnreachable: true });
    expect(isDown(after(AGENT_LOST_AFTER_MS - 1, { input }))).toBe(false);
    expect(isDown(after(AGENT_LOST_AFTER_MS, { input }))).toBe(true);
  });

  it("declares a node down when its host has come back as another node", () => {
    const input = { votes: LIVES, hostRespondedMs: HEARD_MS + 1_300, replacedBy: "n2" };
    expect(isDown(after(DOWN_AFTER_MS - 1, { input }))).toBe(false);
    expect(after(DOWN_AFTER_MS, { input }).condition?.stateMessage).toBe("its host has come back as node n2");
    const unheard = {
      input: { ...input, lastHeartbeatMs: undefined },
      context: { leadingSinceMs: HEARD_MS },
    };
    expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS - 1, unheard))).toBe(false);
    expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS, unheard))).toBe(true);
  });

  it("counts the silence of a host from its last probe answer", () => {
    const input = { votes: SILENT, hostRespondedMs: HEARD_MS + 10_000 };
    expect(isDown(after(10_000 + DOWN_AFTER_MS - 1, { input }))).toBe(false);
    expect(isDown(after(10_000 + DOWN_AFTER_MS, { input }))).toBe(true);
  });

  it("subtracts the lag of the leader, and up to a second of the agent's", () => {
    const input = { votes: SILENT };
    expect(isDown(after(DOWN_AFTER_MS + 699, { input, context: { lagMs: 700 } }))).toBe(false);
    expect(after(999, { context: { lagMs: 700 } }).isLate).toBe(false);
    expect(isDown(after(DOWN_AFTER_MS + 999, { input: { ...input, agentLagMs: 60_000 } }))).toBe(false);
    expect(isDown(after(DOWN_AFTER_MS + 1_000, { input: { ...input, agentLagMs: 60_000 } }))).toBe(true);
  });

  it("gives a node that has not connected to a new leader a grace period", () => {
    const input = { lastHeartbeatMs: undefined, votes: SILENT };
    const context = { leadingSinceMs: HEARD_MS };
    expect(after(TAKEOVER_LATE_MS, { input, context })).toMatchObject({ isLate: true, isSuspect: false });
    expect(after(400, { input, context }).isSuspect).toBe(true);
    expect(isDown(after(TAKEOVER_GRACE_MS - 1, { input, context }))).toBe(false);
    expect(isDown(after(TAKEOVER_GRACE_MS, { input, context }))).toBe(true);
  });

  it("needs only two rounds for a node that died while there was no leader", () => {
    const input = { ...CONFIRMED, lastHeartbeatMs: undefined };
    const context = { leadingSinceMs: HEARD_MS };
    expect(isDown(after(TAKEOVER_LATE_MS + CONFIRM_DOWN_MS - 1, { input, context }))).toBe(false);
    expect(isDown(after(TAKEOVER_LATE_MS + CONFIRM_DOWN_MS, { input, context }))).toBe(true);
  });

  it("declares no node down during a failover pause, records why, and requires confirmation afterwards", () => {
    const context = { failoverPause: FAILOVER_PAUSE };
    const frozen = after(FAILOVER_PAUSE_MS, { input: { votes: SILENT }, context });
    expect(frozen.condition).toMatchObject({ state: NodeState.READY, stateMessage: FAILOVER_PAUSE.reason });
    const overMs = 400 + FAILOVER_PAUSE_MS;
    expect(isDown(after(overMs, { input: { votes: SILENT }, context }))).toBe(true);
    expect(isDown(after(overMs, { context }))).toBe(false);
  });

  it("clears the state message with the next heartbeat", () => {
    const node = buildNode({ state: NodeState.READY, agentUnreachable: true, stateMessage: "away" });
    expect(after(0, { input: { node } }).condition).toMatchObject({
      agentUnreachable: false,
      stateMessage: "",
    });
  });
});

describe("judgeNode of a node that is down", () => {
  const down = buildNode({ state: NodeState.DOWN, stateMessage: "silent" });

  it("becomes ready with the next heartbeat only", () => {
    expect(after(0, { input: { node: down } }).condition?.state).toBe(NodeState.READY);
    const unheard = { node: down, lastHeartbeatMs: undefined };
    expect(after(0, { input: unheard, context: { leadingSinceMs: HEARD_MS } }).condition).toBeUndefined();
    expect(after(9_000, { input: { node: down, votes: LIVES } }).condition).toBeUndefined();
  });

  it("a node is fenced once its agent must have stopped its tasks, unless a voter reaches its host", () => {
    const input = { node: down, votes: SILENT };
    expect(after(LEADER_ASSUMES_FENCED_AFTER_MS - 1, { input }).condition).toBeUndefined();
    expect(after(LEADER_ASSUMES_FENCED_AFTER_MS, { input }).condition).toMatchObject({
      state: NodeState.DOWN,
      fenced: true,
    });
    const contested = { asked: 3, silent: 2, alive: 1 };
    expect(after(60_000, { input: { ...input, votes: contested } }).condition).toBeUndefined();
    const node = { ...down, ignoresProbes: true };
    expect(after(60_000, { input: { ...input, node } }).condition).toBeUndefined();
  });

  it("a node is fenced later under a new leader, since the former one may have acknowledged heartbeats", () => {
    const input = { node: down, lastHeartbeatMs: undefined, votes: SILENT };
    const context = { leadingSinceMs: HEARD_MS };
    expect(after(LEADER_ASSUMES_FENCED_AFTER_MS, { input, context }).condition).toBeUndefined();
    expect(after(LEADER_ASSUMES_FENCED_AFTER_MS + 3_000, { input, context }).condition?.fenced).toBe(true);
  });

  it("a node is not checked again once it is fenced", () => {
    const node = { ...down, fenced: true };
    expect(after(60_000, { input: { node, votes: SILENT } })).toMatchObject({
      condition: undefined,
      isLate: false,
      checkAtMs: undefined,
    });
  });
});

describe("judgeNode", () => {
  const votes = fc.record({ asked: fc.nat(5), silent: fc.nat(5), alive: fc.nat(5) });
  const input = fc.record({
    lastHeartbeatMs: fc.option(fc.constant(HEARD_MS), { nil: undefined }),
    heartbeatMs: fc.constantFrom(250, 500, 2_000),
    agentLagMs: fc.nat(5_000),
    votes,
    failedRounds: fc.nat(3),
    hostRespondedMs: fc.option(fc.integer({ min: HEARD_MS, max: HEARD_MS + 70_000 }), { nil: undefined }),
    ignoresProbes: fc.boolean(),
    state: fc.constantFrom(NodeState.READY, NodeState.DOWN),
  });

  // Clocks tell fractions of a millisecond.
  const silence = fc.double({ min: 0, max: 70_000, noNaN: true });

  it("schedules checks in the future only, and never declares a recently heard node down", () => {
    fc.assert(
      fc.property(input, silence, fc.nat(3_000), fc.boolean(), (made, silentMs, lagMs, frozen) => {
        const context = {
          lagMs,
          leadingSinceMs: HEARD_MS,
          failoverPause: frozen ? FAILOVER_PAUSE : undefined,
        };
        const node = buildNode({ state: made.state, ignoresProbes: made.ignoresProbes });
        const verdict = after(silentMs, { input: { ...made, node }, context });
        const nowMs = HEARD_MS + silentMs;
        if (verdict.checkAtMs !== undefined) expect(verdict.checkAtMs).toBeGreaterThan(nowMs);
        if (made.state === NodeState.DOWN) return;
        const quietMs = nowMs - Math.max(HEARD_MS, made.hostRespondedMs ?? 0);
        const isConfirmed = made.failedRounds >= 2;
        const neededMs = isConfirmed ? TAKEOVER_LATE_MS + CONFIRM_DOWN_MS : DOWN_AFTER_MS;
        if (quietMs < neededMs && silentMs < AGENT_LOST_AFTER_MS) expect(isDown(verdict)).toBe(false);
        if (frozen && nowMs < FAILOVER_PAUSE.sinceMs + FAILOVER_PAUSE_MS) expect(isDown(verdict)).toBe(false);
      }),
    );
  });
});
