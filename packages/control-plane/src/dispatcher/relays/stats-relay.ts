import {
  BerthError,
  type NodeStats,
  type PushStatsRequest,
  type PushStatsResponse,
  type TaskStats,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Session } from "../session.js";
import { mayReplyFor } from "./agent-requests.js";

/** Measuring interval of a node. */
const INTERVAL_MS = 2_000;

/** Time after the last read of its stats at which a node stops measuring. */
const LEASE_MS = 3 * INTERVAL_MS;

/** Maximum age of returned samples. */
const MAX_AGE_MS = 3 * INTERVAL_MS;

/** The latest measurement of one node. */
export interface StatsSample {
  readonly node: NodeStats;
  readonly tasks: readonly TaskStats[];
}

interface Measurement {
  readonly nodeId: string;
  readonly session: Session;
  readonly requestId: string;
  leasedUntilMs: number;
  sample: StatsSample | undefined;
  sampledMs: number;
}

export interface StatsRelayOptions {
  readonly runtime: Runtime;
  /** Returns the session of a node's agent, or undefined if the node cannot be reached. */
  readonly sessionOf: (nodeId: string) => Session | undefined;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/** Makes nodes measure their resource use while `berth top` reads it. All readers share one measurement per node. */
export class StatsRelay {
  readonly #options: StatsRelayOptions;
  readonly #measurements = new Map<string, Measurement>();
  #cancelSweep: (() => void) | undefined;

  constructor(options: StatsRelayOptions) {
    this.#options = options;
    onAbort(options.signal, () => this.#cancelSweep?.());
  }

  /** Keeps the node measuring, and returns its latest sample. Undefined while there is none. */
  requestLatest(nodeId: string): StatsSample | undefined {
    const { runtime, sessionOf } = this.#options;
    const nowMs = runtime.clock.nowMs();
    const session = sessionOf(nodeId);
    if (session === undefined || session.isEnded) return undefined;
    const running = this.#measurements.get(nodeId);
    const measurement = running?.session === session ? running : this.#start(nodeId, session);
    measurement.leasedUntilMs = nowMs + LEASE_MS;
    return nowMs - measurement.sampledMs > MAX_AGE_MS ? undefined : measurement.sample;
  }

  /**
   * Serves the stream of samples of an agent.
   *
   * @throws BerthError BERTH_NOT_FOUND, which ends the stream, when no caller reads the stats any longer, or if the
   *   request was sent to another node
   */
  async serve(
    requests: AsyncIterable<PushStatsRequest>,
    { caller }: Pick<CallContext, "caller">,
  ): Promise<PushStatsResponse> {
    for await (const { requestId, node, tasks } of requests) {
      const measurement = [...this.#measurements.values()].find(
        (active) => active.requestId === requestId && mayReplyFor(active.nodeId, caller),
      );
      if (measurement === undefined) {
        throw new BerthError({ code: "BERTH_NOT_FOUND", message: `stats request ${requestId} is over` });
      }
      if (node !== undefined) measurement.sample = { node, tasks };
      measurement.sampledMs = this.#options.runtime.clock.nowMs();
    }
    return {};
  }

  #start(nodeId: string, session: Session): Measurement {
    const requestId = this.#options.runtime.newId();
    const measurement = { nodeId, session, requestId, leasedUntilMs: 0, sample: undefined, sampledMs: 0 };
    this.#measurements.set(nodeId, measurement);
    session.send({ $case: "startStats", value: { requestId, intervalMs: INTERVAL_MS } });
    this.#cancelSweep ??= this.#options.runtime.clock.after(LEASE_MS, () => this.#sweep());
    return measurement;
  }

  /** Stops the measurements whose lease has expired. */
  #sweep(): void {
    const { runtime, signal } = this.#options;
    const nowMs = runtime.clock.nowMs();
    for (const [nodeId, { session, requestId, leasedUntilMs }] of this.#measurements) {
      if (leasedUntilMs > nowMs && !session.isEnded) continue;
      this.#measurements.delete(nodeId);
      if (!session.isEnded) session.send({ $case: "stopStats", value: { requestId } });
    }
    const isDone = this.#measurements.size === 0 || signal.aborted;
    this.#cancelSweep = isDone ? undefined : runtime.clock.after(LEASE_MS, () => this.#sweep());
  }
}
