import { type Node, NodeState, type ProbeRequest, type ProbeResult } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import { heartbeatIntervalMs } from "../core/node-health/heartbeat-interval.js";
import {
  DOWN_AFTER_MS,
  judgeNode,
  lateAfterMs,
  type NodeHealthVerdict,
} from "../core/node-health/judge-node.js";
import { evidenceOf, isUnanimous, NO_VOTES, type ProbeVotes } from "../core/node-health/probe-votes.js";
import { Suspects } from "../core/node-health/suspect-nodes.js";
import type { Writer } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import { DelayQueue } from "../runtime/delay-queue.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { LagMeter } from "./lag-meter.js";
import { type NodeObservation, newObservation } from "./node-observations.js";
import { ProbeRounds } from "./probe-rounds.js";
import { ProbeCheck } from "./probe-support.js";

/** Before a verdict that could not be written is thought over again. */
const RETRY_MS = 500;

/** A host that was found to live, or dead, is asked again this much later. */
const ASK_AGAIN_MS = 1_000;

export interface NodeHealthObserver {
  /** A node was silent for longer than it should be, and has been heard again. */
  onLateHeartbeat(): void;
  /** A node gets no new connections for now. */
  onSuspect(): void;
}

export interface NodeHealthMonitorOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly lag: Pick<LagMeter, "lagMs">;
  readonly probe: Probe;
  /** Sends a question to a peer's agent; false: it has no session. */
  readonly ask: (peerId: string, request: ProbeRequest) => boolean;
  /** The node takes new connections no more, or again. */
  readonly onSuspicion: (nodeId: string) => void;
  /** Agents are to send their heartbeats at another rate from now on. */
  readonly onHeartbeatInterval: (heartbeatMs: number) => void;
  readonly logger: Logger;
  readonly observer: NodeHealthObserver;
  readonly signal: AbortSignal;
}

/**
 * Decides which nodes live, from heartbeats and probes that are kept in memory alone. A node is looked at when one of
 * its deadlines passes, not at each beat; what it is found to be is written.
 */
export class NodeHealthMonitor {
  readonly #options: NodeHealthMonitorOptions;
  readonly #leadingSinceMs: number;
  readonly #memories = new Map<string, NodeObservation>();
  readonly #suspects = new Suspects();
  readonly #checks: DelayQueue;
  readonly #inquiries: ProbeRounds;
  readonly #probeCheck: ProbeCheck;
  #heartbeatMs: number;

  constructor(options: NodeHealthMonitorOptions) {
    this.#options = options;
    const { runtime, state, signal, probe, ask } = options;
    this.#leadingSinceMs = runtime.clock.nowMs();
    this.#heartbeatMs = heartbeatIntervalMs(state.nodes.size);
    this.#checks = new DelayQueue(runtime.clock, (nodeId) => this.#check(nodeId));
    this.#inquiries = new ProbeRounds({
      probe,
      runtime,
      ask,
      livePeers: (nodeId) => this.#livePeers(nodeId),
      onVotes: (nodeId, testimony) => this.#heardOf(nodeId, testimony),
    });
    const onResult = (nodeId: string, answered: boolean): void => this.#probeChecked(nodeId, answered);
    this.#probeCheck = new ProbeCheck({ probe, onResult, signal });
    for (const node of state.nodes.values()) this.#checks.add(node.id, 0);
    const unsubscribe = state.onChange(({ nodes }) => {
      for (const [nodeId, { before, after }] of nodes) this.#nodeChanged(nodeId, before, after);
      if (nodes.size > 0) this.#reviewFreeze();
    });
    onAbort(signal, () => {
      unsubscribe();
      this.#checks.clear();
      this.#inquiries.close();
    });
  }

  /** How often agents are to be heard. It only ever slows down while a server leads. */
  get heartbeatMs(): number {
    return this.#heartbeatMs;
  }

  isSuspect(nodeId: string): boolean {
    return this.#suspects.has(nodeId);
  }

  /** The node's agent has just been heard; `lagMs` is how late its event loop runs. */
  recordHeartbeat(nodeId: string, lagMs: number): void {
    const { state, runtime, observer, signal } = this.#options;
    if (signal.aborted) return;
    const nowMs = runtime.clock.nowMs();
    const memory = this.#memory(nodeId);
    const node = state.nodes.get(nodeId);
    const lastMs = memory.lastHeartbeatMs;
    memory.lastHeartbeatMs = nowMs;
    memory.agentLagMs = lagMs;
    if (lastMs === undefined) this.#probeCheck.add(nodeId, addressOf(node));
    else if (nowMs - lastMs <= lateAfterMs(this.#heartbeatMs)) return;
    else if (nowMs - lastMs > 2 * this.#heartbeatMs) observer.onLateHeartbeat();
    this.#inquiries.cancel(nodeId);
    memory.votes = NO_VOTES;
    memory.failedRounds = 0;
    memory.nextRoundMs = 0;
    this.#checks.add(nodeId, 0);
  }

  /** A peer's agent answers what it was asked. */
  recordProbeResult(peerId: string, result: ProbeResult): void {
    this.#inquiries.answer(peerId, result);
  }

  #memory(nodeId: string): NodeObservation {
    let memory = this.#memories.get(nodeId);
    if (memory === undefined) {
      memory = newObservation();
      this.#memories.set(nodeId, memory);
    }
    return memory;
  }

  #nodeChanged(nodeId: string, before: Node | undefined, after: Node | undefined): void {
    if (after !== undefined) {
      this.#checks.add(nodeId, 0);
      if (before !== undefined && addressOf(before) !== addressOf(after)) {
        this.#probeCheck.add(nodeId, addressOf(after));
      }
    } else {
      this.#memories.delete(nodeId);
      this.#inquiries.cancel(nodeId);
      this.#suspects.set(nodeId, false, 0);
    }
    const heartbeatMs = Math.max(this.#heartbeatMs, heartbeatIntervalMs(this.#options.state.nodes.size));
    if (heartbeatMs === this.#heartbeatMs) return;
    this.#heartbeatMs = heartbeatMs;
    this.#options.onHeartbeatInterval(heartbeatMs);
  }

  #check(nodeId: string): void {
    const judgement = this.#judge(nodeId);
    if (judgement === undefined) return;
    const { condition, isSuspect, isLate, checkAtMs } = judgement;
    if (checkAtMs !== undefined) this.#checkAt(nodeId, checkAtMs);
    this.#suspect(nodeId, isSuspect);
    if (isLate) this.#askAfter(nodeId);
    if (condition !== undefined) void this.#write(nodeId);
  }

  #judge(nodeId: string): NodeHealthVerdict | undefined {
    const { state, runtime, lag } = this.#options;
    const node = state.nodes.get(nodeId);
    if (node === undefined) return undefined;
    return judgeNode(
      {
        node,
        heartbeatMs: this.#heartbeatMs,
        ...this.#memory(nodeId),
        replacedBy: this.#successorOf(node),
      },
      {
        now: runtime.clock.nowMs(),
        leadingSinceMs: this.#leadingSinceMs,
        lagMs: lag.lagMs(),
        freeze: this.#suspects.freeze,
      },
    );
  }

  /** A node of the same host that has come since this one was last heard: a reinstalled host has a new id. */
  #successorOf(node: Node): string | undefined {
    const { state, runtime } = this.#options;
    const nowMs = runtime.clock.nowMs();
    const { lastHeartbeatMs: lastBeatMs } = this.#memory(node.id);
    const silentMs = nowMs - (lastBeatMs ?? this.#leadingSinceMs);
    // All nodes are looked at: only where it would make a difference.
    if (silentMs < DOWN_AFTER_MS || node.state !== NodeState.READY) return undefined;
    const sinceMs = lastBeatMs === undefined ? node.createdAtMs : runtime.now() - silentMs;
    for (const other of state.nodes.values()) {
      if (other.createdAtMs <= sinceMs || !isSameHost(node, other)) continue;
      const heardMs = this.#memories.get(other.id)?.lastHeartbeatMs ?? Number.NEGATIVE_INFINITY;
      if (nowMs - heardMs <= lateAfterMs(this.#heartbeatMs)) return other.id;
    }
    return undefined;
  }

  #checkAt(nodeId: string, atMs: number): void {
    this.#checks.add(nodeId, atMs - this.#options.runtime.clock.nowMs());
  }

  #suspect(nodeId: string, isSuspect: boolean): void {
    const { runtime, observer, onSuspicion } = this.#options;
    if (!this.#suspects.set(nodeId, isSuspect, runtime.clock.nowMs())) return;
    if (isSuspect) observer.onSuspect();
    onSuspicion(nodeId);
    this.#reviewFreeze();
  }

  #reviewFreeze(): void {
    const { state, runtime, logger } = this.#options;
    const countUp = (): number =>
      [...state.nodes.values()].filter((node) => node.state === NodeState.READY).length;
    if (!this.#suspects.review(countUp, runtime.clock.nowMs())) return;
    const { freeze } = this.#suspects;
    logger.warn(freeze === undefined ? "no freeze any more: nodes may be found dead again" : freeze.why);
    for (const nodeId of this.#suspects.nodeIds) this.#checks.add(nodeId, 0);
  }

  #askAfter(nodeId: string): void {
    const { nextRoundMs: askAgainMs, failedRounds: vainRounds } = this.#memory(nodeId);
    const address = addressOf(this.#options.state.nodes.get(nodeId));
    if (askAgainMs > this.#options.runtime.clock.nowMs()) this.#checkAt(nodeId, askAgainMs);
    else this.#inquiries.begin(nodeId, { address, isDoubtful: vainRounds === 1 });
  }

  /** The next round follows at once while the node may be found dead by it. */
  #heardOf(nodeId: string, testimony: ProbeVotes): void {
    const { state, runtime } = this.#options;
    const nowMs = runtime.clock.nowMs();
    const memory = this.#memory(nodeId);
    const lives = evidenceOf(testimony) === "lives";
    memory.votes = testimony;
    memory.failedRounds = isUnanimous(testimony) ? memory.failedRounds + 1 : 0;
    if (lives) memory.hostAnsweredMs = nowMs;
    if (lives) this.#probeChecked(nodeId, true);
    const isOpen = !lives && state.nodes.get(nodeId)?.state === NodeState.READY;
    memory.nextRoundMs = isOpen ? nowMs : nowMs + ASK_AGAIN_MS;
    this.#checks.add(nodeId, 0);
  }

  /** Written down, so that the next leader does not take such a node for dead. */
  #probeChecked(nodeId: string, answered: boolean): void {
    const { runtime, state, writer, logger, signal } = this.#options;
    const heardMs = this.#memories.get(nodeId)?.lastHeartbeatMs ?? Number.NEGATIVE_INFINITY;
    const isHeard = runtime.clock.nowMs() - heardMs < 2 * this.#heartbeatMs;
    const node = state.nodes.get(nodeId);
    if (node === undefined || node.ignoresProbes !== answered || !(answered || isHeard)) return;
    if (!answered) logger.warn({ nodeId, address: addressOf(node) }, IGNORES_PROBES);
    const write = writer.submit(({ nodes }) => {
      const now = nodes.get(nodeId);
      const change = now && { kind: "put-node" as const, node: { ...now, ignoresProbes: !answered } };
      return { changes: change ? [change] : [], result: undefined };
    }, signal);
    // What could not be written is found again by the next leader.
    write.catch(() => undefined);
  }

  #livePeers(nodeId: string): readonly string[] {
    const nowMs = this.#options.runtime.clock.nowMs();
    const peers: string[] = [];
    for (const [peerId, { lastHeartbeatMs: lastBeatMs = Number.NEGATIVE_INFINITY }] of this.#memories) {
      if (peerId !== nodeId && nowMs - lastBeatMs <= lateAfterMs(this.#heartbeatMs)) peers.push(peerId);
    }
    return peers;
  }

  /** Judges again when the write's turn comes: a beat may have come in meanwhile. */
  async #write(nodeId: string): Promise<void> {
    const { writer, runtime, logger, signal } = this.#options;
    const memory = this.#memory(nodeId);
    if (memory.isWriting) return;
    memory.isWriting = true;
    try {
      const written = await writer.submit((state) => {
        const condition = this.#judge(nodeId)?.condition;
        const node = state.nodes.get(nodeId);
        if (node === undefined || condition === undefined) return { changes: [], result: undefined };
        const stateSinceMs = condition.state === node.state ? node.stateSinceMs : runtime.now();
        const next: Node = { ...node, ...condition, stateSinceMs };
        return { changes: [{ kind: "put-node", node: next }], result: next };
      }, signal);
      if (written !== undefined) logCondition(written, logger);
      memory.isWriting = false;
      this.#checks.add(nodeId, 0);
    } catch (error) {
      memory.isWriting = false;
      if (signal.aborted) return;
      logger.warn({ err: error, nodeId }, "a node's state could not be written");
      this.#checks.add(nodeId, RETRY_MS);
    }
  }
}

const IGNORES_PROBES =
  "a node answers no probes, perhaps because of a firewall: its loss is noticed later than that of others";

const addressOf = (node: Node | undefined): string => node?.description?.address ?? "";

function isSameHost(one: Node, other: Node): boolean {
  const [its, others] = [one.description, other.description];
  return one.id !== other.id && its?.hostname === others?.hostname && its?.address === others?.address;
}

function logCondition({ id, description, state, stateMessage, fenced }: Node, logger: Logger): void {
  const about = { nodeId: id, hostname: description?.hostname };
  if (state === NodeState.READY)
    logger.warn(about, `node is ready${stateMessage && `, but ${stateMessage}`}`);
  else if (fenced) logger.warn(about, "the at-most-one tasks of a node that is down have stopped for sure");
  else logger.warn(about, `node is down: ${stateMessage}`);
}
