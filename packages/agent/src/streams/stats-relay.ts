import { setTimeout as sleep } from "node:timers/promises";
import type { DispatcherServiceService, PushStatsRequest, StartStats, TaskStats } from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { HostUsage } from "../node/usage/host-usage.js";
import { hostLoadBetween, loadBetween } from "../node/usage/node-stats.js";
import type { UsageSample } from "../node/usage/sample.js";

/** Whatever a leader says: not so often that measuring is what is measured. */
const MIN_INTERVAL_MS = 500;
const MAX_INTERVAL_MS = 60_000;

/** Whoever begins to watch wants to see something soon. */
const FIRST_INTERVAL_MS = 500;

/** One leader asks once. */
const MAX_STREAMS = 4;

export interface StatsRelayOptions {
  /** Of all tasks known here. */
  readonly taskIds: () => Iterable<string>;
  readonly containerOf: (taskId: string) => Pick<ObservedContainer, "state" | "processId"> | undefined;
  readonly readTask: (processId: number) => Promise<UsageSample | undefined>;
  readonly readHost: () => Promise<HostUsage>;
  readonly log: Logger;
}

interface Samples {
  readonly host: HostUsage;
  readonly tasks: ReadonlyMap<string, UsageSample>;
}

type Calls = Pick<RpcClient<DispatcherServiceService>, "pushStats">;

/** Measures the host and its tasks for as long as the leader wants to know. */
export class StatsRelay {
  readonly #options: StatsRelayOptions;
  readonly #running = new Map<string, AbortController>();

  constructor(options: StatsRelayOptions) {
    this.#options = options;
  }

  start(calls: Calls, request: StartStats): void {
    const { requestId } = request;
    if (this.#running.size >= MAX_STREAMS) return;
    const controller = new AbortController();
    const { signal } = controller;
    this.#running.set(requestId, controller);
    calls
      .pushStats(this.#messages(request, signal), { signal })
      .catch((error: unknown) => {
        if (!signal.aborted) this.#options.log.debug({ err: error }, "the load is not wanted any more");
      })
      .finally(() => {
        controller.abort();
        this.#running.delete(requestId);
      });
  }

  stop(requestId: string): void {
    this.#running.get(requestId)?.abort();
  }

  stopAll(): void {
    for (const controller of this.#running.values()) controller.abort();
  }

  async *#messages(
    { requestId, intervalMs }: StartStats,
    signal: AbortSignal,
  ): AsyncGenerator<PushStatsRequest> {
    const everyMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    yield { requestId, node: undefined, tasks: [] };
    let before = await this.#measure();
    for (let waitMs = FIRST_INTERVAL_MS; ; waitMs = everyMs) {
      await sleep(waitMs, undefined, { signal });
      const after = await this.#measure();
      yield { requestId, node: hostLoadBetween(before.host, after.host), tasks: taskStats(before, after) };
      before = after;
    }
  }

  async #measure(): Promise<Samples> {
    const { taskIds, containerOf, readTask, readHost } = this.#options;
    const tasks = new Map<string, UsageSample>();
    for (const taskId of [...taskIds()]) {
      const container = containerOf(taskId);
      if (container?.state !== "running") continue;
      const sample = await readTask(container.processId);
      if (sample !== undefined) tasks.set(taskId, sample);
    }
    return { host: await readHost(), tasks };
  }
}

function taskStats(before: Samples, after: Samples): TaskStats[] {
  const stats: TaskStats[] = [];
  for (const [taskId, sample] of after.tasks) {
    const earlier = before.tasks.get(taskId);
    const usage = earlier && loadBetween(earlier, sample);
    if (usage !== undefined) stats.push({ taskId, usage });
  }
  return stats;
}
