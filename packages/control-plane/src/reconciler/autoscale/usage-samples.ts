import type { Task, UsageReport } from "@berth/proto";
import type { Usage } from "../../core/orchestrator/autoscale.js";

/** Averaging window. A single expensive request must not cause another replica. */
const WINDOW_MS = 15_000;
/** The usage of a task is ignored while it starts. */
const STARTING_MS = 10_000;

interface Sample {
  readonly atMs: number;
  readonly cpuPercent: number;
}

interface NodeConnections {
  readonly atMs: number;
  readonly activeByTask: ReadonlyMap<string, number>;
}

export interface UsageSamplesOptions {
  /** Returns a known task. Samples of unknown tasks are dropped, which bounds the memory. */
  readonly taskOf: (taskId: string) => Task | undefined;
  /** Returns the time of the monotonic clock, in ms. */
  readonly monotonicMs: () => number;
}

/** Keeps the usage that agents reported within the averaging window, for the autoscaler. In memory only. */
export class UsageSamples {
  readonly #options: UsageSamplesOptions;
  readonly #samples = new Map<string, readonly Sample[]>();
  readonly #connections = new Map<string, NodeConnections>();

  constructor(options: UsageSamplesOptions) {
    this.#options = options;
  }

  /** Adds the report of a node's agent. Ignores tasks that are unknown or on another node. */
  recordReport(nodeId: string, { tasks, connections }: UsageReport): void {
    const { taskOf } = this.#options;
    const atMs = this.#options.monotonicMs();
    for (const { taskId, cpuPercent } of tasks) {
      if (taskOf(taskId)?.nodeId !== nodeId || !(cpuPercent >= 0)) continue;
      const recent = (this.#samples.get(taskId) ?? []).filter((sample) => this.#isFresh(sample));
      this.#samples.set(taskId, [...recent, { atMs, cpuPercent }]);
    }
    const known = connections.filter(({ taskId }) => taskOf(taskId) !== undefined);
    const activeByTask = new Map(known.map(({ taskId, active }) => [taskId, active]));
    this.#connections.set(nodeId, { atMs, activeByTask });
  }

  /**
   * Returns the current usage of the tasks of one service.
   *
   * `cpuShare` is the number of CPUs that count as 100 %. `wallClockMs` is in ms since the epoch.
   */
  usageOf(
    tasks: readonly Task[],
    context: { readonly cpuShare: number; readonly nodeIds: Iterable<string>; readonly wallClockMs: number },
  ): Usage {
    const started = tasks.filter(
      ({ status }) => (status?.sinceMs ?? context.wallClockMs) <= context.wallClockMs - STARTING_MS,
    );
    const reports = [...context.nodeIds].map((nodeId) => this.#connections.get(nodeId));
    const fresh = reports.flatMap((report) =>
      report !== undefined && this.#isFresh(report) ? [report] : [],
    );
    return {
      cpuPercents: started.flatMap(({ id }) => this.#average(id, context.cpuShare)),
      connections: fresh.length === 0 ? undefined : sumOver(tasks, fresh),
      connectionsComplete: fresh.length === reports.length,
    };
  }

  /** Drops expired samples. */
  sweep(): void {
    for (const [taskId, samples] of this.#samples) {
      const fresh = samples.filter((sample) => this.#isFresh(sample));
      if (fresh.length === 0) this.#samples.delete(taskId);
      else this.#samples.set(taskId, fresh);
    }
    for (const [nodeId, report] of this.#connections) {
      if (!this.#isFresh(report)) this.#connections.delete(nodeId);
    }
  }

  #average(taskId: string, cpuShare: number): readonly number[] {
    const fresh = (this.#samples.get(taskId) ?? []).filter((sample) => this.#isFresh(sample));
    if (fresh.length === 0) return [];
    return [fresh.reduce((sum, { cpuPercent }) => sum + cpuPercent, 0) / fresh.length / cpuShare];
  }

  #isFresh({ atMs }: { readonly atMs: number }): boolean {
    return atMs > this.#options.monotonicMs() - WINDOW_MS;
  }
}

function sumOver(tasks: readonly Task[], reports: readonly NodeConnections[]): number {
  let sum = 0;
  for (const { id } of tasks) {
    for (const { activeByTask } of reports) sum += activeByTask.get(id) ?? 0;
  }
  return sum;
}
