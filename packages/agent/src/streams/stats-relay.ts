import { setTimeout as sleep } from "node:timers/promises";
import type { DispatcherServiceService, PushStatsRequest, StartStats, TaskStats } from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { UsageSample } from "../node/usage/container-usage.js";
import type { HostUsage } from "../node/usage/host-usage.js";
import { nodeStatsBetween, usageBetween } from "../node/usage/usage-rates.js";
import { StreamRelay } from "./stream-relay.js";

/** Minimum interval between two measurements, so that measuring does not distort the measurement. */
const MIN_INTERVAL_MS = 500;
/** Maximum interval between two measurements. */
const MAX_INTERVAL_MS = 60_000;
/** Delay before the first figures are sent, however long the interval is. */
const FIRST_INTERVAL_MS = 500;
/**
 * Maximum number of concurrent streams. A leader has one request at a time, and two may overlap during a leader change.
 */
const MAX_STREAMS = 4;

type Calls = Pick<RpcClient<DispatcherServiceService>, "pushStats">;

export interface StatsRelayOptions {
  /** Returns the IDs of all tasks of this node. */
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

/** Streams CPU, memory and network usage of the host and its tasks to the leader, for `berth top`. */
export class StatsRelay extends StreamRelay<StartStats, "pushStats"> {
  readonly #options: StatsRelayOptions;

  constructor(options: StatsRelayOptions) {
    super(options.log, MAX_STREAMS);
    this.#options = options;
  }

  protected async relay(calls: Calls, request: StartStats, signal: AbortSignal): Promise<void> {
    await calls.pushStats(this.#messages(request, signal), { signal });
  }

  /** The message has no field for an error: the leader notices that no figures arrive. */
  protected async refuse(): Promise<void> {}

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
      yield { requestId, node: nodeStatsBetween(before.host, after.host), tasks: taskStats(before, after) };
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
    const usage = earlier && usageBetween(earlier, sample);
    if (usage !== undefined) stats.push({ taskId, usage });
  }
  return stats;
}
