import { isBerthError, type Task } from "@berth/proto";
import { isEnded } from "../../core/model/task-state.js";
import { onAbort } from "../../runtime/abort.js";
import type { Delta } from "../../state/delta.js";
import type { ApiContext } from "../api-context.js";
import { hasLog, isInSlot, type LookupTarget } from "../lookup-target.js";
import { LiveLogs } from "./live-logs.js";
import type { LogReader } from "./log-reader.js";
import type { MergedLine } from "./past-logs.js";

/** Delay before a lost log is reopened. An agent restarts within a second or two. */
const RETRY_MS = 1_000;

export interface FollowOptions {
  readonly target: LookupTarget;
  /** The tasks whose logs are followed from the start. */
  readonly tasks: readonly Task[];
  /** Tasks beyond the limit of one request. Their logs are not followed. */
  readonly skipped: readonly Task[];
  readonly reader: LogReader;
  readonly context: ApiContext;
}

/** Follows the logs of the tasks, and of tasks that the service gets later. Reopens a lost log when its node is back. */
export async function* followLogs(options: FollowOptions): AsyncGenerator<MergedLine> {
  const follower = new LogFollower(options);
  const stopWatching = onAbort(options.reader.signal, () => follower.end());
  try {
    yield* follower.lines();
  } finally {
    stopWatching();
    follower.end();
  }
}

class LogFollower {
  readonly #options: FollowOptions;
  readonly #logs: LiveLogs;
  readonly #knownTaskIds: Set<string>;
  /** Tasks whose node cannot be reached. They may still run and write lines. */
  readonly #lostTasks = new Map<string, Task>();
  readonly #unsubscribe: () => void;
  #cancelRetry: (() => void) | undefined;

  constructor(options: FollowOptions) {
    const { tasks, skipped, reader, context } = options;
    this.#options = options;
    this.#logs = new LiveLogs({ clock: context.runtime.clock, isComplete: () => this.#isComplete });
    this.#knownTaskIds = new Set([...tasks, ...skipped].map(({ id }) => id));
    // The logs of ended tasks have been read to their end.
    for (const task of tasks) {
      if (!isEnded(task)) this.#logs.add(reader.follow(task));
    }
    this.#unsubscribe = context.state.onChange((delta) => this.#onChange(delta));
  }

  async *lines(): AsyncGenerator<MergedLine> {
    for await (const line of this.#logs.lines()) {
      const isNodeLost = line.kind === "lost" && isBerthError(line.error, "BERTH_NODE_UNREACHABLE");
      if (isNodeLost) this.#scheduleRetry(line.task);
      yield line;
    }
  }

  end(): void {
    this.#unsubscribe();
    this.#cancelRetry?.();
    this.#logs.end();
  }

  #onChange({ tasks }: Delta): void {
    for (const { after } of tasks.values()) {
      if (after === undefined || this.#knownTaskIds.has(after.id) || !hasLog(after)) continue;
      if (!this.#isTarget(after)) continue;
      this.#knownTaskIds.add(after.id);
      this.#logs.add(this.#options.reader.followNew(after));
    }
  }

  /** Whether no further lines can follow. The log of one task ends with the task; a service can always get another task. */
  get #isComplete(): boolean {
    return this.#options.target.kind === "task" && this.#lostTasks.size === 0;
  }

  #isTarget(task: Task): boolean {
    const { target, context } = this.#options;
    if (target.kind === "task" || task.serviceId !== target.serviceId) return false;
    return target.slot === undefined || isInSlot(context.state, task, target.slot);
  }

  #scheduleRetry(task: Task): void {
    this.#lostTasks.set(task.id, task);
    this.#cancelRetry ??= this.#options.context.runtime.clock.after(RETRY_MS, () => this.#reopenLost());
  }

  /** Reopens the lost logs whose nodes are connected again. Gives up on tasks that have ended. */
  #reopenLost(): void {
    this.#cancelRetry = undefined;
    const { reader, context } = this.#options;
    for (const { id, nodeId } of [...this.#lostTasks.values()]) {
      const task = context.state.tasks.get(id);
      const isOver = task === undefined || isEnded(task);
      if (!isOver && !context.logs.isReachable(nodeId)) continue;
      this.#lostTasks.delete(id);
      if (!isOver) this.#logs.add(reader.follow(task));
    }
    this.#logs.recheck();
    if (this.#lostTasks.size > 0) {
      this.#cancelRetry = context.runtime.clock.after(RETRY_MS, () => this.#reopenLost());
    }
  }
}
