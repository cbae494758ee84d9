import type { Task, UsageReport } from "@berth/proto";
import type { Usage } from "../../core/orchestrator/autoscale.js";

/** Use is averaged over so long: a request that takes a second of CPU is no reason for another replica. */
const AVERAGED_MS = 15_000;
/** What a task does while it starts says nothing about its load. */
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
  /** Tasks that are known: what is said of others is ignored, so that memory is bounded by what there is. */
  readonly taskOf: (taskId: string) => Task | undefined;
  /** Milliseconds, by a clock that never jumps. */
  readonly nowMs: () => number;
}

/** What agents have told of the use of resources in the last seconds. In memory alone. */
export class UsageSamples {
  readonly #options: UsageSamplesOptions;
  readonly #samples = new Map<string, readonly Sample[]>();
  readonly #connections = new Map<string, NodeConnections>();

  constructor(options: UsageSamplesOptions) {
    this.#options = options;
  }

  report(nodeId: string, { tasks, connections }: UsageReport): void {
    const { taskOf } = this.#options;
    const atMs = this.#options.nowMs();
    for (const { taskId, cpuPercent } of tasks) {
      if (taskOf(taskId)?.nodeId !== nodeId || !(cpuPercent >= 0)) continue;
      const recent = (this.#samples.get(taskId) ?? []).filter((sample) => this.#isFresh(sample));
      this.#samples.set(taskId, [...recent, { atMs, cpuPercent }]);
    }
    const known = connections.filter(({ taskId }) => taskOf(taskId) !== undefined);
    const activeByTask = new Map(known.map(({ taskId, active }) => [taskId, active]));
    this.#connections.set(nodeId, { atMs, activeByTask });
  }

  /** @param cpuShare processors that 100 % stands for; `now` is milliseconds since 1970, as the tasks have it */
  usageOf(
    tasks: readonly Task[],
    context: { readonly cpuShare: number; readonly nodeIds: Iterable<string>; readonly now: number },
  ): Usage {
    const settled = tasks.filter(
      ({ status }) => (status?.sinceMs ?? context.now) <= context.now - STARTING_MS,
    );
    const reports = [...context.nodeIds].map((nodeId) => this.#connections.get(nodeId));
    const fresh = reports.flatMap((one) => (one !== undefined && this.#isFresh(one) ? [one] : []));
    return {
      cpuPercents: settled.flatMap(({ id }) => this.#average(id, context.cpuShare)),
      connections: fresh.length === 0 ? undefined : sumOver(tasks, fresh),
      connectionsComplete: fresh.length === reports.length,
    };
  }

  /** Forgets what is too old to count. */
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
    return atMs > this.#options.nowMs() - AVERAGED_MS;
  }
}

function sumOver(tasks: readonly Task[], reports: readonly NodeConnections[]): number {
  let sum = 0;
  for (const { id } of tasks) {
    for (const { activeByTask } of reports) sum += activeByTask.get(id) ?? 0;
  }
  return sum;
}
