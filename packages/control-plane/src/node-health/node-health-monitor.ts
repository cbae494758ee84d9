import { type Node, NodeState, type ProbeRequest, type ProbeResult } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import { heartbeatIntervalMs } from "../core/node-health/heartbeat-interval.js";
import { judgeNode, type NodeHealthVerdict } from "../core/node-health/judge-node.js";
import { evaluateVotes, type ProbeVotes } from "../core/node-health/probe-votes.js";
import { lateAfterMs } from "../core/node-health/silence-thresholds.js";
import { SuspectNodes } from "../core/node-health/suspect-nodes.js";
import type { Writer } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import { DelayQueue } from "../runtime/delay-queue.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import { ConditionWriter } from "./condition-writer.js";
import type { LagMeter } from "./lag-meter.js";
import { endSilence, findReplacement, NodeObservations, recordVotes } from "./node-observations.js";
import { ProbeRounds } from "./probe-rounds.js";
import { ProbeSupport } from "./probe-support.js";

export interface NodeHealthObserver {
  /** A node's heartbeat arrived more than one interval late. */
  onLateHeartbeat(): void;
  /** A node became suspect. */
  onSuspect(): void;
}

export interface NodeHealthMonitorOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly lag: Pick<LagMeter, "lagMs">;
  readonly probe: Probe;
  /** Sends a request to a peer's agent. Returns false when the agent is not connected. */
  readonly sendProbeRequest: (peerId: string, request: ProbeRequest) => boolean;
  /** Called when a node becomes suspect and when it is trusted again. */
  readonly onSuspicion: (nodeId: string) => void;
  /** Called when agents must change their heartbeat interval. */
  readonly onHeartbeatInterval: (heartbeatMs: number) => void;
  readonly logger: Logger;
  readonly observer: NodeHealthObserver;
  readonly signal: AbortSignal;
}

/**
 * Detects failed nodes by heartbeats and probe rounds, and writes the conditions of the nodes.
 *
 * Observations are kept in memory only. A node is judged (see `judgeNode`) when one of its deadlines passes, not at each
 * heartbeat.
 */
export class NodeHealthMonitor {
  readonly #options: NodeHealthMonitorOptions;
  readonly #leadingSinceMs: number;
  readonly #observations = new NodeObservations();
  readonly #suspects = new SuspectNodes();
  readonly #evaluations: DelayQueue;
  readonly #rounds: ProbeRounds;
  readonly #probeSupport: ProbeSupport;
  readonly #conditions: ConditionWriter;
  #heartbeatMs: number;

  constructor(options: NodeHealthMonitorOptions) {
    this.#options = options;
    const { runtime, state, signal, probe, sendProbeRequest } = options;
    this.#leadingSinceMs = runtime.clock.nowMs();
    this.#heartbeatMs = heartbeatIntervalMs(state.nodes.size);
    this.#evaluations = new DelayQueue(runtime.clock, (nodeId) => this.#evaluate(nodeId));
    this.#rounds = new ProbeRounds({
      probe,
      runtime,
      sendProbeRequest,
      livePeers: (nodeId) => this.#observations.livePeers(nodeId, this.#heartbeatMs, this.#nowMs()),
      onVotes: (nodeId, votes) => this.#recordVotes(nodeId, votes),
    });
    this.#probeSupport = new ProbeSupport({
      ...options,
      isHeard: (nodeId) => this.#observations.isHeard(nodeId, 2 * this.#heartbeatMs, this.#nowMs()),
    });
    this.#conditions = new ConditionWriter({
      ...options,
      judge: (nodeId) => this.#judge(nodeId)?.condition,
      evaluateAfter: (nodeId, delayMs) => this.#evaluations.add(nodeId, delayMs),
    });
    this.#evaluateAll();
    const unsubscribe = state.onChange(({ nodes, isRestoreChanged }) => {
      if (isRestoreChanged) this.#evaluateAll();
      for (const [nodeId, { before, after }] of nodes) this.#onNodeChange(nodeId, before, after);
      if (nodes.size > 0) this.#updateFailoverPause();
    });
    onAbort(signal, () => {
      unsubscribe();
      this.#evaluations.clear();
      this.#rounds.close();
    });
  }

  /** The heartbeat interval of the agents. Never gets shorter during a term. */
  get heartbeatMs(): number {
    return this.#heartbeatMs;
  }

  isSuspect(nodeId: string): boolean {
    return this.#suspects.has(nodeId);
  }

  /** Records a heartbeat of the node's agent, with the event loop lag that the agent reports. */
  recordHeartbeat(nodeId: string, lagMs: number): void {
    const { state, observer, signal } = this.#options;
    if (signal.aborted) return;
    const nowMs = this.#nowMs();
    const observation = this.#observations.getOrCreate(nodeId);
    const lastMs = observation.lastHeartbeatMs;
    observation.lastHeartbeatMs = nowMs;
    observation.agentLagMs = lagMs;
    if (lastMs === undefined) {
      this.#probeSupport.enqueueCheck(nodeId, addressOf(state.nodes.get(nodeId)));
    } else if (nowMs - lastMs <= lateAfterMs(this.#heartbeatMs)) {
      return;
    } else if (nowMs - lastMs > 2 * this.#heartbeatMs) {
      observer.onLateHeartbeat();
    }
    this.#rounds.cancel(nodeId);
    endSilence(observation);
    this.#evaluations.add(nodeId, 0);
  }

  /** Records the result of a probe that a peer's agent has made. */
  recordProbeResult(peerId: string, result: ProbeResult): void {
    this.#rounds.recordResult(peerId, result);
  }

  /** Returns the time of the monotonic clock. */
  #nowMs(): number {
    return this.#options.runtime.clock.nowMs();
  }

  #onNodeChange(nodeId: string, before: Node | undefined, after: Node | undefined): void {
    if (after !== undefined) {
      this.#evaluations.add(nodeId, 0);
      if (before !== undefined && addressOf(before) !== addressOf(after)) {
        this.#probeSupport.enqueueCheck(nodeId, addressOf(after));
      }
    } else {
      this.#observations.delete(nodeId);
      this.#rounds.cancel(nodeId);
      this.#suspects.set(nodeId, false, 0);
    }
    const heartbeatMs = Math.max(this.#heartbeatMs, heartbeatIntervalMs(this.#options.state.nodes.size));
    if (heartbeatMs === this.#heartbeatMs) return;
    this.#heartbeatMs = heartbeatMs;
    this.#options.onHeartbeatInterval(heartbeatMs);
  }

  #evaluateAll(): void {
    for (const { id } of this.#options.state.nodes.values()) this.#evaluations.add(id, 0);
  }

  #evaluate(nodeId: string): void {
    const verdict = this.#judge(nodeId);
    if (verdict === undefined) return;
    const { condition, isSuspect, isLate, checkAtMs } = verdict;
    if (checkAtMs !== undefined) this.#evaluateAt(nodeId, checkAtMs);
    this.#setSuspect(nodeId, isSuspect);
    if (isLate) this.#startRound(nodeId);
    if (condition !== undefined) void this.#conditions.write(nodeId);
  }

  #judge(nodeId: string): NodeHealthVerdict | undefined {
    const { state, runtime, lag } = this.#options;
    const node = state.nodes.get(nodeId);
    if (node === undefined) return undefined;
    const nowMs = this.#nowMs();
    const heartbeatMs = this.#heartbeatMs;
    const leadingSinceMs = this.#leadingSinceMs;
    const replacedBy = findReplacement(node, {
      nodes: state.nodes.values(),
      observations: this.#observations,
      heartbeatMs,
      leadingSinceMs,
      monotonicMs: nowMs,
      wallClockMs: runtime.wallClockMs(),
    });
    return judgeNode(
      { node, heartbeatMs, ...this.#observations.getOrCreate(nodeId), replacedBy },
      {
        nowMs,
        leadingSinceMs,
        lagMs: lag.lagMs(),
        failoverPause: this.#suspects.failoverPause,
        isRestorePending: state.isRestorePending,
      },
    );
  }

  #evaluateAt(nodeId: string, atMs: number): void {
    this.#evaluations.add(nodeId, atMs - this.#nowMs());
  }

  #setSuspect(nodeId: string, isSuspect: boolean): void {
    const { observer, onSuspicion } = this.#options;
    if (!this.#suspects.set(nodeId, isSuspect, this.#nowMs())) return;
    if (isSuspect) observer.onSuspect();
    onSuspicion(nodeId);
    this.#updateFailoverPause();
  }

  #updateFailoverPause(): void {
    const { state, logger } = this.#options;
    const countUpNodes = (): number =>
      [...state.nodes.values()].filter((node) => node.state === NodeState.READY).length;
    if (!this.#suspects.updateFailoverPause(countUpNodes, this.#nowMs())) return;
    const { failoverPause } = this.#suspects;
    logger.warn(failoverPause === undefined ? "node failure detection resumed" : failoverPause.reason);
    for (const nodeId of this.#suspects.nodeIds) this.#evaluations.add(nodeId, 0);
  }

  #startRound(nodeId: string): void {
    const { nextRoundMs, failedRounds } = this.#observations.getOrCreate(nodeId);
    const address = addressOf(this.#options.state.nodes.get(nodeId));
    if (nextRoundMs > this.#nowMs()) {
      this.#evaluateAt(nodeId, nextRoundMs);
    } else {
      this.#rounds.start(nodeId, { address, askPeersAtOnce: failedRounds === 1 });
    }
  }

  #recordVotes(nodeId: string, votes: ProbeVotes): void {
    const isReady = this.#options.state.nodes.get(nodeId)?.state === NodeState.READY;
    recordVotes(this.#observations.getOrCreate(nodeId), votes, { isReady, nowMs: this.#nowMs() });
    if (evaluateVotes(votes) === "lives") this.#probeSupport.recordProbe(nodeId, true);
    this.#evaluations.add(nodeId, 0);
  }
}

function addressOf(node: Node | undefined): string {
  return node?.description?.address ?? "";
}
