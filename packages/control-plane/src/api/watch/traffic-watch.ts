import {
  type ClusterTraffic,
  HostTraffic,
  NodeState,
  type ServiceCounters,
  type TrafficReport,
} from "@berth/proto";
import type { Logger } from "pino";
import type { TrafficCollector } from "../../dispatcher/relays/traffic-collector.js";
import { linkSignals } from "../../runtime/abort.js";
import { sleep } from "../../runtime/clock.js";
import { Emitter } from "../../runtime/emitter.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";

/** Shortest pause between two collections. */
const MIN_INTERVAL_MS = 1_000;

/** Pause per host, which exceeds the shortest pause in clusters of more than 50 hosts. */
const INTERVAL_PER_HOST_MS = 20;

/** Pause after a failed collection. */
const RETRY_MS = 1_000;

/** Maximum number of hosts. Larger clusters have counters of single services only (GetServiceTraffic). */
const MAX_HOSTS = 300;

export interface TrafficWatchOptions {
  readonly state: Pick<ClusterState, "nodes" | "services">;
  readonly trafficCollector: Pick<TrafficCollector, "collect">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/** The counters as one watcher sees them. */
export interface TrafficSubscription {
  /** Returns the counters that changed since the last call. Undefined if nothing was collected since then. */
  take(): ClusterTraffic | undefined;
  close(): void;
}

/** The counters of one host, and the number of the collection in which they changed. */
interface HostCounters {
  readonly collection: number;
  readonly traffic: HostTraffic;
  readonly encoding: Buffer;
}

/** Collects the counters of all services from all hosts while there are watchers. */
export class TrafficWatch {
  readonly #options: TrafficWatchOptions;
  readonly #collected = new Emitter();
  readonly #hosts = new Map<string, HostCounters>();
  #stop: (() => void) | undefined;
  #watchers = 0;
  #collection = 0;
  #latest: Omit<ClusterTraffic, "hosts"> = { timeMs: 0, unresponsiveNodes: [], isOmitted: false };

  constructor(options: TrafficWatchOptions) {
    this.#options = options;
  }

  /** Collects counters until the last subscription is closed. Calls the listener after each collection. */
  subscribe(onCollected: () => void): TrafficSubscription {
    this.#watchers += 1;
    if (this.#stop === undefined) this.#start();
    const unsubscribe = this.#collected.on(onCollected);
    let taken = 0;
    let isOpen = true;
    return {
      take: () => {
        if (taken === this.#collection) return undefined;
        const hosts = [...this.#hosts.values()].filter(({ collection }) => collection > taken);
        taken = this.#collection;
        return { ...this.#latest, hosts: hosts.map(({ traffic }) => traffic) };
      },
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        unsubscribe();
        this.#watchers -= 1;
        if (this.#watchers === 0) this.#end();
      },
    };
  }

  #start(): void {
    const link = linkSignals(this.#options.signal);
    this.#stop = () => {
      link.abort();
      link.unlink();
    };
    void this.#run(link.signal);
  }

  #end(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#hosts.clear();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { runtime, logger } = this.#options;
    while (!signal.aborted) {
      let pauseMs = RETRY_MS;
      try {
        pauseMs = await this.#collect(signal);
      } catch (error) {
        if (!signal.aborted) logger.error({ err: error }, "failed to collect traffic counters");
      }
      await sleep(runtime.clock, pauseMs, signal);
    }
  }

  /** Collects the counters of all hosts once. Returns the pause before the next collection, in ms. */
  async #collect(signal: AbortSignal): Promise<number> {
    const { state, trafficCollector } = this.#options;
    const nodes = [...state.nodes.values()].filter((node) => node.state === NodeState.READY);
    const isOmitted = nodes.length > MAX_HOSTS;
    const nodeIds = isOmitted ? [] : nodes.map(({ id }) => id);
    const reports = await trafficCollector.collect("", nodeIds, signal);
    if (!signal.aborted) this.#record(reports, { nodeIds, isOmitted });
    return Math.max(MIN_INTERVAL_MS, nodes.length * INTERVAL_PER_HOST_MS);
  }

  #record(
    reports: ReadonlyMap<string, TrafficReport>,
    { nodeIds, isOmitted }: { readonly nodeIds: readonly string[]; readonly isOmitted: boolean },
  ): void {
    this.#collection += 1;
    for (const [nodeId, report] of reports) {
      const traffic = { nodeId, services: this.#sumServices(report) };
      const encoding = Buffer.from(HostTraffic.encode(traffic).finish());
      if (this.#hosts.get(nodeId)?.encoding.equals(encoding)) continue;
      this.#hosts.set(nodeId, { collection: this.#collection, traffic, encoding });
    }
    const known = new Set(nodeIds);
    for (const nodeId of this.#hosts.keys()) {
      if (!known.has(nodeId)) this.#hosts.delete(nodeId);
    }
    this.#latest = {
      timeMs: this.#options.runtime.wallClockMs(),
      unresponsiveNodes: nodeIds.filter((nodeId) => !reports.has(nodeId)),
      isOmitted,
    };
    this.#collected.emit();
  }

  /** Returns the counters of each service, summed over its listeners. */
  #sumServices({ listeners }: TrafficReport): ServiceCounters[] {
    const { services } = this.#options.state;
    const sums = new Map<string, ServiceCounters>();
    for (const { serviceName, connections, failed, retried, active } of listeners) {
      const serviceId = services.byName(serviceName)?.id;
      if (serviceId === undefined) continue;
      const sum = sums.get(serviceId) ?? { serviceId, connections: 0, failed: 0, retried: 0, active: 0 };
      sum.connections += connections;
      sum.failed += failed;
      sum.retried += retried;
      sum.active += active;
      sums.set(serviceId, sum);
    }
    return [...sums.values()];
  }
}
