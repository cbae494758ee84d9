import type { MeasuredService, MeasureUsage, TaskConnections, TaskUsage, UsageReport } from "@berth/proto";
import type { Logger } from "pino";
import type { ObservedContainer } from "../../core/docker/observed-container.js";
import type { IngressStats } from "../../dataplane/table/ingress-table.js";
import { withDeadline } from "../../runtime/with-deadline.js";
import { cpuPercent, type UsageSample } from "./container-usage.js";

/** Whatever a leader says: not so often that measuring is what is measured, not so rarely that it is of no use. */
const MIN_INTERVAL_MS = 1_000;
const MAX_INTERVAL_MS = 60_000;
/** The ingress process answers within milliseconds. */
const STATS_TIMEOUT_MS = 1_000;
/** Looks in a row at running containers that showed none of them. */
const BLIND_LOOKS = 3;

export interface UsageMeterOptions {
  /** Tasks of these services that this node is to run. */
  readonly tasksOf: (serviceIds: ReadonlySet<string>) => readonly string[];
  readonly containerOf: (taskId: string) => Pick<ObservedContainer, "processId"> | undefined;
  readonly read: (processId: number) => Promise<UsageSample | undefined>;
  readonly stats: (signal: AbortSignal) => Promise<Pick<IngressStats, "listeners">>;
  readonly onReport: (report: UsageReport) => void;
  readonly log: Logger;
}

/** Measures what the leader asked for, and nothing while it asks for nothing. */
export class UsageMeter {
  readonly #options: UsageMeterOptions;
  #before: ReadonlyMap<string, UsageSample> = new Map();
  #stop = new AbortController();
  #lastReason = "";
  #blindLooks = 0;

  constructor(options: UsageMeterOptions) {
    this.#options = options;
  }

  /** Takes the place of what was asked for before. */
  watch({ intervalMs, services }: MeasureUsage): void {
    this.stop();
    if (services.length === 0) return;
    const everyMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    const { signal } = this.#stop;
    let isMeasuring = false;
    const timer = setInterval(() => {
      if (isMeasuring) return;
      isMeasuring = true;
      void this.#measure(services, signal).finally(() => {
        isMeasuring = false;
      });
    }, everyMs);
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  stop(): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#before = new Map();
  }

  async #measure(services: readonly MeasuredService[], signal: AbortSignal): Promise<void> {
    try {
      const tasks = await this.#taskUsage(idsOf(services, "cpu"), signal);
      const named = services.filter(({ connections }) => connections).map(({ serviceName }) => serviceName);
      const connections = named.length === 0 ? [] : await this.#connections(new Set(named), signal);
      if (signal.aborted) return;
      // Without a connection there is something to tell, too: that there is none.
      if (tasks.length > 0 || named.length > 0) this.#options.onReport({ tasks, connections });
      this.#lastReason = "";
    } catch (error) {
      if (!signal.aborted) this.#logFailure(error);
    }
  }

  async #taskUsage(serviceIds: ReadonlySet<string>, signal: AbortSignal): Promise<TaskUsage[]> {
    const { tasksOf, containerOf, read } = this.#options;
    const usage: TaskUsage[] = [];
    const after = new Map<string, UsageSample>();
    let unreadable = 0;
    for (const taskId of serviceIds.size === 0 ? [] : tasksOf(serviceIds)) {
      const processId = containerOf(taskId)?.processId ?? 0;
      const sample = await read(processId);
      if (sample === undefined) {
        if (processId > 0) unreadable += 1;
        continue;
      }
      after.set(taskId, sample);
      const before = this.#before.get(taskId);
      const percent = before && cpuPercent(before, sample);
      if (percent !== undefined) usage.push({ taskId, cpuPercent: percent });
    }
    if (signal.aborted) return [];
    this.#before = after;
    this.#noteBlindness(after.size === 0 && unreadable > 0);
    return usage;
  }

  /** What has just ended cannot be read either: one such look says nothing. */
  #noteBlindness(isBlind: boolean): void {
    this.#blindLooks = isBlind ? this.#blindLooks + 1 : 0;
    if (this.#blindLooks !== BLIND_LOOKS) return;
    this.#options.log.warn(
      "the cgroups of containers cannot be seen from here: services do not scale by CPU",
    );
  }

  async #connections(serviceNames: ReadonlySet<string>, signal: AbortSignal): Promise<TaskConnections[]> {
    const onTimeout = (): Error => new Error("the ingress process does not tell of its connections");
    const deadline = { signal, timeoutMs: STATS_TIMEOUT_MS, onTimeout };
    const { listeners } = await withDeadline(deadline, this.#options.stats);
    const activeByTask = new Map<string, number>();
    for (const { service, endpoints } of listeners) {
      if (!serviceNames.has(service)) continue;
      for (const { id, active } of endpoints) activeByTask.set(id, (activeByTask.get(id) ?? 0) + active);
    }
    return [...activeByTask].map(([taskId, active]) => ({ taskId, active }));
  }

  /** One line for each new reason, not one for each attempt. */
  #logFailure(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason !== this.#lastReason) this.#options.log.warn({ reason }, "use of resources is not measured");
    this.#lastReason = reason;
  }
}

function idsOf(services: readonly MeasuredService[], measure: "cpu" | "connections"): ReadonlySet<string> {
  return new Set(services.filter((service) => service[measure]).map(({ serviceId }) => serviceId));
}
