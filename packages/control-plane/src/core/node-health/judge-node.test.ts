import { FENCED_AFTER_MS, NodeState, PROOF_MS } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildNode } from "../testing/records.js";
import {
  AGENT_AWAY_AFTER_MS,
  AGENT_LOST_AFTER_MS,
  DOWN_AFTER_MS,
  DOWN_UNCONFIRMED_AFTER_MS,
  judgeNode,
  type NodeHealthContext,
  type NodeHealthInput,
  type NodeHealthVerdict,
  TAKEOVER_GRACE_MS,
  TAKEOVER_LATE_MS,
} from "./judge-node.js";
import { NO_VOTES, type ProbeVotes } from "./probe-votes.js";
import { FREEZE_MS, type Freeze } from "./suspect-nodes.js";

const HEARD_MS = 100_000;
const HEARTBEAT_MS = 250;
const SILENT: ProbeVotes = { asked: 3, silent: 2, alive: 0 };
/** Nobody reached it, twice. */
const PROVEN = { votes: { asked: 3, silent: 3, alive: 0 }, failedRounds: 2 };
const PROVEN_DOWN_AFTER_MS = 1_000;
const LIVES: ProbeVotes = { asked: 3, silent: 1, alive: 2 };
const FREEZE: Freeze = { sinceMs: HEARD_MS + 400, why: "most nodes fell silent" };

/** Judges a node that was last heard `silentMs` ago. */
function after(
  silentMs: number,
  {
    pulse = {},
    context = {},
  }: { readonly pulse?: Partial<NodeHealthInput>; readonly context?: Partial<NodeHealthContext> } = {},
): NodeHealthVerdict {
  return judgeNode(
    {
      node: buildNode({ state: NodeState.READY, stateMessage: "" }),
      lastHeartbeatMs: HEARD_MS,
      heartbeatMs: HEARTBEAT_MS,
      agentLagMs: 0,
      votes: NO_VOTES,
      failedRounds: 0,
      hostAnsweredMs: undefined,
      replacedBy: undefined,
      ...pulse,
    },
    { now: HEARD_MS + silentMs, leadingSinceMs: 0, lagMs: 0, freeze: undefined, ...context },
  );
}

const isDown = ({ condition }: NodeHealthVerdict): boolean => condition?.state === NodeState.DOWN;

describe("judge() of a node that is up", () => {
  it("wants nothing of one that was heard in time", () => {
    const judgement = after(HEARTBEAT_MS);
    expect(judgement).toMatchObject({ condition: undefined, isSuspect: false, isLate: false });
    expect(judgement.checkAtMs).toBe(HEARD_MS + 300);
  });

  it("asks after a late one, and suspects it from 0.4 s on unless its host answers", () => {
    expect(after(350)).toMatchObject({ isLate: true, isSuspect: false });
    expect(after(400)).toMatchObject({ isLate: true, isSuspect: true, condition: undefined });
    expect(after(400, { pulse: { votes: LIVES } })).toMatchObject({ isLate: true, isSuspect: false });
  });

  it("holds it dead once most of those asked find its host silent, not before its time", () => {
    expect(isDown(after(DOWN_AFTER_MS - 1, { pulse: { votes: SILENT } }))).toBe(false);
    const judgement = after(DOWN_AFTER_MS, { pulse: { votes: SILENT } });
    expect(judgement.condition?.stateMessage).toMatch(/silent for 1\.4 s: 2 of 3 probes failed/);
    expect(judgement.isSuspect).toBe(true);
  });

  it("waits no longer once everybody asked in vain twice", () => {
    expect(isDown(after(PROVEN_DOWN_AFTER_MS - 1, { pulse: PROVEN }))).toBe(false);
    expect(isDown(after(PROVEN_DOWN_AFTER_MS, { pulse: PROVEN }))).toBe(true);
    const once = { ...PROVEN, failedRounds: 1 };
    expect(isDown(after(DOWN_AFTER_MS - 1, { pulse: once }))).toBe(false);
    const answered = { ...PROVEN, hostAnsweredMs: HEARD_MS + 500 };
    expect(isDown(after(PROVEN_DOWN_AFTER_MS, { pulse: answered }))).toBe(false);
    const lagging = { pulse: PROVEN, context: { lagMs: 300 } };
    expect(isDown(after(PROVEN_DOWN_AFTER_MS, lagging))).toBe(false);
  });

  it("without anybody's word waits for 5 s; so it does when its host never answered probes", () => {
    const node = buildNode({ state: NodeState.READY, ignoresProbes: true });
    for (const pulse of [{}, { votes: SILENT, node }]) {
      expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS - 1, { pulse }))).toBe(false);
      expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS, { pulse }))).toBe(true);
    }
  });

  it("whose host lives is said to be without its agent, and is given up after a minute", () => {
    const pulse = { votes: LIVES, hostAnsweredMs: HEARD_MS + 2_900 };
    expect(after(AGENT_AWAY_AFTER_MS - 1, { pulse }).condition).toBeUndefined();
    const away = after(AGENT_AWAY_AFTER_MS, { pulse }).condition;
    expect(away).toMatchObject({ state: NodeState.READY, agentUnreachable: true });
    expect(isDown(after(AGENT_LOST_AFTER_MS - 1, { pulse }))).toBe(false);
    expect(isDown(after(AGENT_LOST_AFTER_MS, { pulse }))).toBe(true);
  });

  it("whose host has come back as another node is dead, as its kernel's answers are that one's", () => {
    const pulse = { votes: LIVES, hostAnsweredMs: HEARD_MS + 1_300, replacedBy: "n2" };
    expect(isDown(after(DOWN_AFTER_MS - 1, { pulse }))).toBe(false);
    expect(after(DOWN_AFTER_MS, { pulse }).condition?.stateMessage).toBe("its host has come back as node n2");
    const unheard = {
      pulse: { ...pulse, lastHeartbeatMs: undefined },
      context: { leadingSinceMs: HEARD_MS },
    };
    expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS - 1, unheard))).toBe(false);
    expect(isDown(after(DOWN_UNCONFIRMED_AFTER_MS, unheard))).toBe(true);
  });

  it("counts a host's silence from its last answer, not from its agent's last beat", () => {
    const pulse = { votes: SILENT, hostAnsweredMs: HEARD_MS + 10_000 };
    expect(isDown(after(10_000 + DOWN_AFTER_MS - 1, { pulse }))).toBe(false);
    expect(isDown(after(10_000 + DOWN_AFTER_MS, { pulse }))).toBe(true);
  });

  it("gives it what this server lags, and what its agent does up to a second", () => {
    const pulse = { votes: SILENT };
    expect(isDown(after(DOWN_AFTER_MS + 699, { pulse, context: { lagMs: 700 } }))).toBe(false);
    expect(after(999, { context: { lagMs: 700 } }).isLate).toBe(false);
    expect(isDown(after(DOWN_AFTER_MS + 999, { pulse: { ...pulse, agentLagMs: 60_000 } }))).toBe(false);
    expect(isDown(after(DOWN_AFTER_MS + 1_000, { pulse: { ...pulse, agentLagMs: 60_000 } }))).toBe(true);
  });

  it("gives one that has not connected to a new leader a little longer, and no more", () => {
    const pulse = { lastHeartbeatMs: undefined, votes: SILENT };
    const context = { leadingSinceMs: HEARD_MS };
    expect(after(TAKEOVER_LATE_MS, { pulse, context })).toMatchObject({ isLate: true, isSuspect: false });
    expect(after(400, { pulse, context }).isSuspect).toBe(true);
    expect(isDown(after(TAKEOVER_GRACE_MS - 1, { pulse, context }))).toBe(false);
    expect(isDown(after(TAKEOVER_GRACE_MS, { pulse, context }))).toBe(true);
  });

  it("of one that died while there was no leader needs no more than two rounds", () => {
    const pulse = { ...PROVEN, lastHeartbeatMs: undefined };
    const context = { leadingSinceMs: HEARD_MS };
    expect(isDown(after(TAKEOVER_LATE_MS + PROOF_MS - 1, { pulse, context }))).toBe(false);
    expect(isDown(after(TAKEOVER_LATE_MS + PROOF_MS, { pulse, context }))).toBe(true);
  });

  it("in a freeze holds nobody dead, says why, and needs confirmation when it is over", () => {
    const context = { freeze: FREEZE };
    const frozen = after(FREEZE_MS, { pulse: { votes: SILENT }, context });
    expect(frozen.condition).toMatchObject({ state: NodeState.READY, stateMessage: FREEZE.why });
    const overMs = 400 + FREEZE_MS;
    expect(isDown(after(overMs, { pulse: { votes: SILENT }, context }))).toBe(true);
    expect(isDown(after(overMs, { context }))).toBe(false);
  });

  it("forgets what was said of it when it is heard", () => {
    const node = buildNode({ state: NodeState.READY, agentUnreachable: true, stateMessage: "away" });
    expect(after(0, { pulse: { node } }).condition).toMatchObject({
      agentUnreachable: false,
      stateMessage: "",
    });
  });
});

describe("judge() of a node that is down", () => {
  const down = buildNode({ state: NodeState.DOWN, stateMessage: "silent" });

  it("brings it back with its next beat only", () => {
    expect(after(0, { pulse: { node: down } }).condition?.state).toBe(NodeState.READY);
    const unheard = { node: down, lastHeartbeatMs: undefined };
    expect(after(0, { pulse: unheard, context: { leadingSinceMs: HEARD_MS } }).condition).toBeUndefined();
    expect(after(9_000, { pulse: { node: down, votes: LIVES } }).condition).toBeUndefined();
  });

  it("is fenced when its agent must have stopped its tasks, if nobody reaches its host", () => {
    const pulse = { node: down, votes: SILENT };
    expect(after(FENCED_AFTER_MS - 1, { pulse }).condition).toBeUndefined();
    expect(after(FENCED_AFTER_MS, { pulse }).condition).toMatchObject({
      state: NodeState.DOWN,
      fenced: true,
    });
    const contested = { asked: 3, silent: 2, alive: 1 };
    expect(after(60_000, { pulse: { ...pulse, votes: contested } }).condition).toBeUndefined();
    const node = { ...down, ignoresProbes: true };
    expect(after(60_000, { pulse: { ...pulse, node } }).condition).toBeUndefined();
  });

  it("under a new leader is fenced later: the former one may have gone on acknowledging", () => {
    const pulse = { node: down, lastHeartbeatMs: undefined, votes: SILENT };
    const context = { leadingSinceMs: HEARD_MS };
    expect(after(FENCED_AFTER_MS, { pulse, context }).condition).toBeUndefined();
    expect(after(FENCED_AFTER_MS + 3_000, { pulse, context }).condition?.fenced).toBe(true);
  });

  it("is not looked at any more once it is fenced", () => {
    const node = { ...down, fenced: true };
    expect(after(60_000, { pulse: { node, votes: SILENT } })).toMatchObject({
      condition: undefined,
      isLate: false,
      checkAtMs: undefined,
    });
  });
});

describe("judge() at any time", () => {
  const votes = fc.record({ asked: fc.nat(5), silent: fc.nat(5), alive: fc.nat(5) });
  const pulse = fc.record({
    lastHeartbeatMs: fc.option(fc.constant(HEARD_MS), { nil: undefined }),
    heartbeatMs: fc.constantFrom(250, 500, 2_000),
    agentLagMs: fc.nat(5_000),
    votes,
    failedRounds: fc.nat(3),
    hostAnsweredMs: fc.option(fc.integer({ min: HEARD_MS, max: HEARD_MS + 70_000 }), { nil: undefined }),
    ignoresProbes: fc.boolean(),
    state: fc.constantFrom(NodeState.READY, NodeState.DOWN),
  });

  // Clocks tell fractions of a millisecond.
  const silence = fc.double({ min: 0, max: 70_000, noNaN: true });

  it("asks to be asked again only in the future, and never holds dead what answered or was heard just now", () => {
    fc.assert(
      fc.property(pulse, silence, fc.nat(3_000), fc.boolean(), (made, silentMs, lagMs, frozen) => {
        const context = { lagMs, leadingSinceMs: HEARD_MS, freeze: frozen ? FREEZE : undefined };
        const node = buildNode({ state: made.state, ignoresProbes: made.ignoresProbes });
        const judgement = after(silentMs, { pulse: { ...made, node }, context });
        const now = HEARD_MS + silentMs;
        if (judgement.checkAtMs !== undefined) expect(judgement.checkAtMs).toBeGreaterThan(now);
        if (made.state === NodeState.DOWN) return;
        const quietMs = now - Math.max(HEARD_MS, made.hostAnsweredMs ?? 0);
        const isProven = made.failedRounds >= 2;
        const neededMs = isProven ? TAKEOVER_LATE_MS + PROOF_MS : DOWN_AFTER_MS;
        if (quietMs < neededMs && silentMs < AGENT_LOST_AFTER_MS) expect(isDown(judgement)).toBe(false);
        if (frozen && now < FREEZE.sinceMs + FREEZE_MS) expect(isDown(judgement)).toBe(false);
      }),
    );
  });
});
