import { assertNever, NodeState } from "@berth/proto";
import type { Logger } from "pino";
import { HEARTBEAT_MS, judge, type Verdict } from "../core/liveness.js";
import type { ClusterState } from "../state/cluster-state.js";
import { onAbort } from "../store/abort.js";
import { DelayQueue } from "./delay-queue.js";
import type { LagMeter } from "./lag-meter.js";
import type { Runtime } from "./runtime.js";
import type { Writer } from "./writer.js";

/** Two beats: one that did not come, or that came a whole beat late. */
const LATE_AFTER_MS = 2 * HEARTBEAT_MS;

/** Before a verdict that could not be written is thought over again. */
const RETRY_MS = 500;

export interface LivenessObserver {
  /** A node was silent for longer than it should be, and has been heard again. */
  onLateBeat(): void;
}

export interface LivenessOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly lag: LagMeter;
  readonly logger: Logger;
  readonly observer: LivenessObserver;
  readonly signal: AbortSignal;
}

/**
 * Decides which nodes live, from heartbeats that are kept in memory alone. A node is looked at when its deadline
 * passes, not at each beat; what it is found to be is written.
 */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #leadingSinceMs: number;
  readonly #lastBeatMs = new Map<string, number>();
  readonly #checks: DelayQueue;

  constructor(options: LivenessOptions) {
    this.#options = options;
    const { runtime, state, signal } = options;
    this.#leadingSinceMs = runtime.clock.nowMs();
    this.#checks = new DelayQueue(runtime.clock, (nodeId) => this.#check(nodeId));
    for (const node of state.nodes.values()) this.#checks.add(node.id, 0);
    const unsubscribe = state.onChange((delta) => {
      for (const [nodeId, { after }] of delta.nodes) {
        if (after === undefined) this.#lastBeatMs.delete(nodeId);
        else this.#checks.add(nodeId, 0);
      }
    });
    onAbort(signal, () => {
      unsubscribe();
      this.#checks.clear();
    });
  }

  /** The node's agent has just been heard. */
  beat(nodeId: string): void {
    const { state, runtime, observer, signal } = this.#options;
    if (signal.aborted) return;
    const nowMs = runtime.clock.nowMs();
    if (nowMs - (this.#lastBeatMs.get(nodeId) ?? nowMs) > LATE_AFTER_MS) observer.onLateBeat();
    this.#lastBeatMs.set(nodeId, nowMs);
    if (state.nodes.get(nodeId)?.state === NodeState.DOWN) this.#checks.add(nodeId, 0);
  }

  #check(nodeId: string): void {
    const verdict = this.#judge(nodeId);
    switch (verdict?.kind) {
      case undefined:
        return;
      case "unchanged":
        if (verdict.checkAtMs !== undefined) this.#checkAt(nodeId, verdict.checkAtMs);
        return;
      case "ready":
      case "down":
        void this.#write(nodeId);
        return;
      default:
        assertNever(verdict);
    }
  }

  #judge(nodeId: string): Verdict | undefined {
    const { state, runtime, lag } = this.#options;
    const node = state.nodes.get(nodeId);
    if (node === undefined) return undefined;
    return judge(
      { state: node.state, lastBeatMs: this.#lastBeatMs.get(nodeId) },
      { now: runtime.clock.nowMs(), leadingSinceMs: this.#leadingSinceMs, lagMs: lag.lagMs() },
    );
  }

  #checkAt(nodeId: string, atMs: number): void {
    this.#checks.add(nodeId, atMs - this.#options.runtime.clock.nowMs());
  }

  /** Judges again when the write's turn comes: a beat may have come in meanwhile. */
  async #write(nodeId: string): Promise<void> {
    const { writer, runtime, logger, signal } = this.#options;
    try {
      const reason = await writer.submit((state) => {
        const verdict = this.#judge(nodeId);
        const node = state.nodes.get(nodeId);
        if (node === undefined || verdict === undefined || verdict.kind === "unchanged") {
          return { changes: [], result: undefined };
        }
        const next = verdict.kind === "ready" ? NodeState.READY : NodeState.DOWN;
        const since = { stateMessage: verdict.reason, stateSinceMs: runtime.now() };
        return {
          changes: [{ kind: "put-node", node: { ...node, state: next, ...since } }],
          result: { state: verdict.kind, reason: verdict.reason },
        };
      }, signal);
      if (reason === undefined) this.#checks.add(nodeId, 0);
      else logger.warn({ nodeId, ...reason }, `node is ${reason.state}`);
    } catch (error) {
      if (signal.aborted) return;
      logger.warn({ err: error, nodeId }, "a node's state could not be written");
      this.#checks.add(nodeId, RETRY_MS);
    }
  }
}
