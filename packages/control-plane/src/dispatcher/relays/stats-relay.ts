import {
  BerthError,
  type NodeStats,
  type PushStatsRequest,
  type PushStatsResponse,
  type TaskStats,
} from "@berth/proto";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Session } from "../session.js";

/** How often a person wants to see new numbers. */
const INTERVAL_MS = 2_000;

/** Nobody has asked for so long: nobody watches any more. */
const LEASE_MS = 3 * INTERVAL_MS;

/** A sample is not shown for longer when no other one follows. */
const STALE_MS = 3 * INTERVAL_MS;

/** What one node said last. */
export interface StatsSample {
  readonly node: NodeStats;
  readonly tasks: readonly TaskStats[];
}

interface Watch {
  readonly session: Session;
  readonly requestId: string;
  wantedUntilMs: number;
  sample: StatsSample | undefined;
  sampledMs: number;
}

export interface StatsRelayOptions {
  readonly runtime: Runtime;
  readonly sessionOf: (nodeId: string) => Session | undefined;
  /** Aborts with the term. */
  readonly signal: AbortSignal;
}

/** Has nodes measured for as long as somebody asks what they use; however many ask, each node measures once. */
export class StatsRelay {
  readonly #options: StatsRelayOptions;
  readonly #watches = new Map<string, Watch>();
  #cancelSweep: (() => void) | undefined;

  constructor(options: StatsRelayOptions) {
    this.#options = options;
    onAbort(options.signal, () => this.#cancelSweep?.());
  }

  /** What the node said last; undefined when that is nothing, or long ago. Whoever goes on asking gets news. */
  latest(nodeId: string): StatsSample | undefined {
    const { runtime, sessionOf } = this.#options;
    const nowMs = runtime.clock.nowMs();
    const session = sessionOf(nodeId);
    if (session === undefined || session.isEnded) return undefined;
    const known = this.#watches.get(nodeId);
    const watch = known?.session === session ? known : this.#begin(nodeId, session);
    watch.wantedUntilMs = nowMs + LEASE_MS;
    return nowMs - watch.sampledMs > STALE_MS ? undefined : watch.sample;
  }

  /** The agent's side. @throws BerthError BERTH_NOT_FOUND once nobody watches any more, which ends the stream */
  async push(requests: AsyncIterable<PushStatsRequest>): Promise<PushStatsResponse> {
    for await (const { requestId, node, tasks } of requests) {
      const watch = [...this.#watches.values()].find((one) => one.requestId === requestId);
      if (watch === undefined)
        throw new BerthError({ code: "BERTH_NOT_FOUND", message: "Nobody watches the load any more." });
      if (node !== undefined) watch.sample = { node, tasks };
      watch.sampledMs = this.#options.runtime.clock.nowMs();
    }
    return {};
  }

  #begin(nodeId: string, session: Session): Watch {
    const requestId = this.#options.runtime.newId();
    const watch = { session, requestId, wantedUntilMs: 0, sample: undefined, sampledMs: 0 };
    this.#watches.set(nodeId, watch);
    session.send({ $case: "startStats", value: { requestId, intervalMs: INTERVAL_MS } });
    this.#cancelSweep ??= this.#options.runtime.clock.after(LEASE_MS, () => this.#sweep());
    return watch;
  }

  #sweep(): void {
    const { runtime, signal } = this.#options;
    const nowMs = runtime.clock.nowMs();
    for (const [nodeId, { session, requestId, wantedUntilMs }] of this.#watches) {
      if (wantedUntilMs > nowMs && !session.isEnded) continue;
      this.#watches.delete(nodeId);
      if (!session.isEnded) session.send({ $case: "stopStats", value: { requestId } });
    }
    const isOver = this.#watches.size === 0 || signal.aborted;
    this.#cancelSweep = isOver ? undefined : runtime.clock.after(LEASE_MS, () => this.#sweep());
  }
}
