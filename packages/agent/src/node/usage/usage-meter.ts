import type {
  MeasuredService,
  MeasureUsage,
  OpenedConnections,
  TaskConnections,
  TaskUsage,
  UsageReport,
} from "@berth/proto";
import type { Logger } from "pino";
import type { ObservedContainer } from "../../core/docker/observed-container.js";
import type { IngressStats } from "../../dataplane/table/ingress-table.js";
import { withDeadline } from "../../runtime/with-deadline.js";
import type { UsageSample } from "./container-usage.js";
import { cpuPercent } from "./usage-rates.js";

/** Minimum interval between two measurements, so that measuring does not distort the measurement. */
const MIN_INTERVAL_MS = 1_000;
/** Maximum interval between two measurements. */
const MAX_INTERVAL_MS = 60_000;
/** Timeout for the counters of the ingress process, which answers within milliseconds. */
const STATS_TIMEOUT_MS = 1_000;
/**
 * Number of consecutive failed measurements after which a warning is logged. A container that has just ended is not
 * readable either, so a single failure means nothing.
 */
const FAILURES_TO_WARN = 3;

type ConnectionStats = Pick<IngressStats, "listeners" | "vips">;
const NO_STATS: ConnectionStats = { listeners: [], vips: [] };

export interface UsageMeterOptions {
  /** Returns the IDs of this node's tasks that belong to the services. */
  readonly taskIdsOf: (serviceIds: ReadonlySet<string>) => readonly string[];
  readonly containerOf: (taskId: string) => Pick<ObservedContainer, "processId"> | undefined;
  readonly read: (processId: number) => Promise<UsageSample | undefined>;
  readonly stats: (signal: AbortSignal) => Promise<ConnectionStats>;
  readonly onReport: (report: UsageReport) => void;
  readonly log: Logger;
}

/** Measures the CPU usage and connections of services that scale automatically, while the leader asks for it. */
export class UsageMeter {
  readonly #options: UsageMeterOptions;
  #lastSamples: ReadonlyMap<string, UsageSample> = new Map();
  #measuring = new AbortController();
  #lastReason = "";
  #unreadableMeasurements = 0;

  constructor(options: UsageMeterOptions) {
    this.#options = options;
  }

  /** Measures these services until the next call. Measures nothing when there are none. */
  watch({ intervalMs, services }: MeasureUsage): void {
    this.stop();
    if (services.length === 0) return;
    const boundedMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    const { signal } = this.#measuring;
    let isMeasuring = false;
    const timer = setInterval(() => {
      if (isMeasuring) return;
      isMeasuring = true;
      void this.#measure(services, signal).finally(() => {
        isMeasuring = false;
      });
    }, boundedMs);
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  stop(): void {
    this.#measuring.abort();
    this.#measuring = new AbortController();
    this.#lastSamples = new Map();
  }

  async #measure(services: readonly MeasuredService[], signal: AbortSignal): Promise<void> {
    try {
      const serviceIds = services.filter(({ cpu }) => cpu).map(({ serviceId }) => serviceId);
      const tasks = await this.#taskUsage(new Set(serviceIds), signal);
      const serviceNames = services
        .filter(({ connections }) => connections)
        .map(({ serviceName }) => serviceName);
      const counted = services.filter(({ opened }) => opened);
      const stats = serviceNames.length + counted.length === 0 ? NO_STATS : await this.#readStats(signal);
      if (signal.aborted) return;
      const connections = openConnections(stats, new Set(serviceNames));
      const opened = counted.map((service) => openedConnections(stats, service));
      // An empty list reports services without connections.
      if (tasks.length + serviceNames.length + opened.length > 0) {
        this.#options.onReport({ tasks, connections, opened });
      }
      this.#lastReason = "";
    } catch (error) {
      if (!signal.aborted) this.#logFailure(error);
    }
  }

  async #taskUsage(serviceIds: ReadonlySet<string>, signal: AbortSignal): Promise<TaskUsage[]> {
    const { taskIdsOf, containerOf, read } = this.#options;
    const usage: TaskUsage[] = [];
    const after = new Map<string, UsageSample>();
    let unreadable = 0;
    for (const taskId of serviceIds.size === 0 ? [] : taskIdsOf(serviceIds)) {
      const processId = containerOf(taskId)?.processId ?? 0;
      const sample = await read(processId);
      if (sample === undefined) {
        if (processId > 0) unreadable += 1;
        continue;
      }
      after.set(taskId, sample);
      const before = this.#lastSamples.get(taskId);
      const percent = before && cpuPercent(before, sample);
      if (percent !== undefined) usage.push({ taskId, cpuPercent: percent });
    }
    if (signal.aborted) return [];
    this.#lastSamples = after;
    this.#recordReadability(after.size === 0 && unreadable > 0);
    return usage;
  }

  /** Warns once when no container was readable in several measurements in a row. */
  #recordReadability(areAllUnreadable: boolean): void {
    this.#unreadableMeasurements = areAllUnreadable ? this.#unreadableMeasurements + 1 : 0;
    if (this.#unreadableMeasurements !== FAILURES_TO_WARN) return;
    this.#options.log.warn("cannot read the cgroups of containers; services do not scale by CPU");
  }

  #readStats(signal: AbortSignal): Promise<ConnectionStats> {
    const onTimeout = (): Error => new Error("the ingress process did not return its counters in time");
    const deadline = { signal, timeoutMs: STATS_TIMEOUT_MS, onTimeout };
    return withDeadline(deadline, this.#options.stats);
  }

  /** Logs a failure once while its reason stays the same. */
  #logFailure(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason !== this.#lastReason) this.#options.log.warn({ reason }, "cannot measure resource usage");
    this.#lastReason = reason;
  }
}

/** Returns the open connections to each task of the services. */
function openConnections(
  { listeners }: ConnectionStats,
  serviceNames: ReadonlySet<string>,
): TaskConnections[] {
  const activeByTask = new Map<string, number>();
  for (const { service, endpoints } of listeners) {
    if (!serviceNames.has(service)) continue;
    for (const { id, active } of endpoints) activeByTask.set(id, (activeByTask.get(id) ?? 0) + active);
  }
  return [...activeByTask].map(([taskId, active]) => ({ taskId, active }));
}

/** Returns how many connections to ports and virtual IPs of a service have been opened. */
function openedConnections(
  { listeners, vips }: ConnectionStats,
  { serviceId, serviceName }: MeasuredService,
): OpenedConnections {
  let total = 0;
  for (const listener of listeners) {
    if (listener.service === serviceName) total += listener.total;
  }
  for (const { service, connections, heldTotal } of vips) {
    if (service === serviceName) total += connections + heldTotal;
  }
  return { serviceId, total };
}
