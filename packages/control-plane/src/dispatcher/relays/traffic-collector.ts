import type { TrafficReport } from "@berth/proto";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Session } from "../session.js";

/** Timeout for the agents. An agent gets the counters from the ingress process on its host within milliseconds. */
const TIMEOUT_MS = 1_000;

export interface TrafficCollectorOptions {
  readonly runtime: Runtime;
  /** Returns the session of a node's agent, or undefined if the node cannot be reached. */
  readonly sessionOf: (nodeId: string) => Session | undefined;
}

/** One call of `collect` that waits for reports. */
interface Collection {
  readonly pendingNodeIds: Set<string>;
  readonly reports: Map<string, TrafficReport>;
  readonly finish: () => void;
}

/** Collects traffic counters from agents, for `berth service inspect` and /metrics. Keeps nothing between two calls. */
export class TrafficCollector {
  readonly #options: TrafficCollectorOptions;
  readonly #collections = new Map<string, Collection>();

  constructor(options: TrafficCollectorOptions) {
    this.#options = options;
  }

  /**
   * Returns the reports that arrive within a second, by node ID.
   *
   * @param serviceName full name; empty for all services
   */
  async collect(
    serviceName: string,
    nodeIds: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, TrafficReport>> {
    const { runtime, sessionOf } = this.#options;
    const requestId = runtime.newId();
    const reports = new Map<string, TrafficReport>();
    const pendingNodeIds = new Set<string>();
    if (signal.aborted) return reports;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        cancelTimeout();
        stopWatching();
        this.#collections.delete(requestId);
        resolve();
      };
      const cancelTimeout = runtime.clock.after(TIMEOUT_MS, () => finish());
      const stopWatching = onAbort(signal, () => finish());
      this.#collections.set(requestId, { pendingNodeIds, reports, finish });
      for (const nodeId of nodeIds) {
        const session = sessionOf(nodeId);
        if (session === undefined || session.isEnded) continue;
        if (session.send({ $case: "trafficRequest", value: { requestId, serviceName } })) {
          pendingNodeIds.add(nodeId);
        }
      }
      if (pendingNodeIds.size === 0) finish();
    });
    return reports;
  }

  /** Records the report of one node. Ignores late and unrequested reports. */
  recordReport(nodeId: string, report: TrafficReport): void {
    const collection = this.#collections.get(report.requestId);
    if (collection === undefined || !collection.pendingNodeIds.delete(nodeId)) return;
    collection.reports.set(nodeId, report);
    if (collection.pendingNodeIds.size === 0) collection.finish();
  }
}
