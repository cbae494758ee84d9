import type { Task, UsageReport } from "@berth/proto";
import type { Usage } from "../../core/orchestrator/autoscale.js";

/** Window over which the usage is averaged. A single expensive request must not cause another replica. */
const WINDOW_MS = 15_000;
/**
 * Minimum interval between two reports of a node; earlier reports are ignored. Limits the samples in the window. Agents
 * report every 5 s, so a report that the network delayed is not affected.
 */
const MIN_REPORT_INTERVAL_MS = 500;
/** Time after the start of a task in which its usage is ignored. */
const STARTING_MS = 10_000;

interface Sample {
  readonly atMs: number;
  readonly cpuPercent: number;
}

/** Open connections from one node's ingress process to the tasks of all services. */
interface NodeConnections {
  readonly atMs: number;
  readonly activeByTask: ReadonlyMap<string, number>;
  /** By service ID. */
  readonly openedByService: ReadonlyMap<string, OpenedCount>;
}

/** The connections to one service that clients of one node have opened. */
interface OpenedCount {
  readonly total: number;
  /** When the total was first seen. */
  readonly sinceMs: number;
}

export interface UsageSamplesOptions {
  /** Returns the task with an ID. Samples of unknown tasks are dropped, which bounds the memory. */
  readonly findTask: (taskId: string) => Task | undefined;
  /** Returns the time of the monotonic clock, in ms. */
  readonly monotonicMs: () => number;
}

export interface UsageContext {
  readonly serviceId: string;
  /** Number of CPUs that count as 100 %. */
  readonly cpuShare: number;
  /** Nodes that are expected to report connections. */
  readonly nodeIds: Iterable<string>;
  /** The wall-clock time, in ms since the epoch. */
  readonly wallClockMs: number;
}

/** Keeps the usage that agents reported within the averaging window, for the autoscaler. In memory only. */
export class UsageSamples {
  readonly #options: UsageSamplesOptions;
  readonly #samples = new Map<string, readonly Sample[]>();
  readonly #connections = new Map<string, NodeConnections>();

  constructor(options: UsageSamplesOptions) {
    this.#options = options;
  }

  /**
   * Adds the report of a node's agent. Ignores tasks that are unknown or on another node, and a report that follows the
   * previous one too soon. If a report repeats a task, its last value counts.
   */
  recordReport(nodeId: string, { tasks, connections, opened }: UsageReport): void {
    const { findTask } = this.#options;
    const atMs = this.#options.monotonicMs();
    const previous = this.#connections.get(nodeId);
    if (previous !== undefined && atMs - previous.atMs < MIN_REPORT_INTERVAL_MS) return;
    const knownTasks = connections.filter(({ taskId }) => findTask(taskId) !== undefined);
    const activeByTask = new Map(knownTasks.map(({ taskId, active }) => [taskId, active]));
    const openedByService = new Map(
      opened.map(({ serviceId, total }) => [
        serviceId,
        afterOpened(previous?.openedByService.get(serviceId), total, atMs),
      ]),
    );
    this.#connections.set(nodeId, { atMs, activeByTask, openedByService });
    const percentByTask = new Map(tasks.map(({ taskId, cpuPercent }) => [taskId, cpuPercent]));
    for (const [taskId, cpuPercent] of percentByTask) {
      if (findTask(taskId)?.nodeId !== nodeId || !Number.isFinite(cpuPercent) || cpuPercent < 0) continue;
      const recent = (this.#samples.get(taskId) ?? []).filter((sample) => this.#isFresh(sample));
      this.#samples.set(taskId, [...recent, { atMs, cpuPercent }]);
    }
  }

  /** Returns the current usage of the tasks of one service. */
  usageOf(tasks: readonly Task[], { serviceId, cpuShare, nodeIds, wallClockMs }: UsageContext): Usage {
    const started = tasks.filter(
      ({ status }) => (status?.sinceMs ?? wallClockMs) <= wallClockMs - STARTING_MS,
    );
    const reports = [...nodeIds].map((nodeId) => this.#connections.get(nodeId));
    const freshReports = reports.flatMap((report) =>
      report !== undefined && this.#isFresh(report) ? [report] : [],
    );
    const connections = freshReports.length === 0 ? undefined : sumConnections(tasks, freshReports);
    const areConnectionsComplete = freshReports.length === reports.length;
    const isUnused = freshReports.every((report) => this.#isUnused(report, serviceId));
    return {
      cpuPercents: started
        .map(({ id }) => this.#averageCpuPercent(id, cpuShare))
        .filter((percent) => percent !== undefined),
      connections,
      areConnectionsComplete,
      isIdle: areConnectionsComplete && connections === 0 && isUnused,
    };
  }

  /** Drops expired samples. */
  sweep(): void {
    for (const [taskId, samples] of this.#samples) {
      const freshSamples = samples.filter((sample) => this.#isFresh(sample));
      if (freshSamples.length === 0) {
        this.#samples.delete(taskId);
      } else {
        this.#samples.set(taskId, freshSamples);
      }
    }
    for (const [nodeId, report] of this.#connections) {
      if (!this.#isFresh(report)) this.#connections.delete(nodeId);
    }
  }

  /** Returns the average CPU use of a task in percent of its share, or undefined without fresh samples. */
  #averageCpuPercent(taskId: string, cpuShare: number): number | undefined {
    const freshSamples = (this.#samples.get(taskId) ?? []).filter((sample) => this.#isFresh(sample));
    if (freshSamples.length === 0) return undefined;
    const sum = freshSamples.reduce((total, { cpuPercent }) => total + cpuPercent, 0);
    return sum / freshSamples.length / cpuShare;
  }

  /** Returns whether no client of the node has opened a connection within the window. */
  #isUnused({ openedByService }: NodeConnections, serviceId: string): boolean {
    const opened = openedByService.get(serviceId);
    return opened !== undefined && opened.sinceMs <= this.#options.monotonicMs() - WINDOW_MS;
  }

  #isFresh({ atMs }: { readonly atMs: number }): boolean {
    return atMs > this.#options.monotonicMs() - WINDOW_MS;
  }
}

function afterOpened(previous: OpenedCount | undefined, total: number, nowMs: number): OpenedCount {
  return previous?.total === total ? previous : { total, sinceMs: nowMs };
}

/** Adds up the connections to the tasks from all reporting nodes. */
function sumConnections(tasks: readonly Task[], reports: readonly NodeConnections[]): number {
  let sum = 0;
  for (const { id } of tasks) {
    for (const { activeByTask } of reports) sum += activeByTask.get(id) ?? 0;
  }
  return sum;
}
