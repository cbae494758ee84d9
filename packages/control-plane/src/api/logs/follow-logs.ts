import { isBerthError, type Task } from "@berth/proto";
import { isEnded } from "../../core/model/task-state.js";
import { onAbort } from "../../runtime/abort.js";
import type { Delta } from "../../state/delta.js";
import type { ApiContext } from "../api-context.js";
import { hasLog, isOfSlot, type LookupTarget } from "../lookup.js";
import { FollowedLogs } from "./live-merge.js";
import type { LogReading } from "./log-reader.js";
import type { MergedLine } from "./merge-logs.js";

/** How soon a log is taken up again whose node is back: an agent that restarts is away for a second or two. */
const RETRY_MS = 1_000;

export interface FollowOptions {
  readonly target: LookupTarget;
  readonly tasks: readonly Task[];
  readonly reading: LogReading;
  readonly scope: ApiContext;
}

/** What the tasks write from now on, what later tasks of the service write, and what lost ones do when they are back. */
export async function* followLogs(options: FollowOptions): AsyncGenerator<MergedLine> {
  const following = new Following(options);
  const forget = onAbort(options.reading.signal, () => following.end());
  try {
    yield* following.lines();
  } finally {
    forget();
    following.end();
  }
}

class Following {
  readonly #options: FollowOptions;
  readonly #logs: FollowedLogs;
  readonly #known: Set<string>;
  /** Tasks whose node is away, which may go on writing there. */
  readonly #lost = new Map<string, Task>();
  readonly #unsubscribe: () => void;
  #cancelRetry: (() => void) | undefined;

  constructor(options: FollowOptions) {
    const { tasks, reading, scope } = options;
    this.#options = options;
    this.#logs = new FollowedLogs({ clock: scope.runtime.clock, isOver: () => this.#isOver });
    this.#known = new Set(tasks.map(({ id }) => id));
    // What had ended before has been read to its end.
    for (const task of tasks) if (!isEnded(task)) this.#logs.add(reading.following(task));
    this.#unsubscribe = scope.state.onChange((delta) => this.#onChange(delta));
  }

  async *lines(): AsyncGenerator<MergedLine> {
    for await (const line of this.#logs.lines()) {
      if (line.kind === "lost" && isBerthError(line.error, "BERTH_NODE_UNREACHABLE")) this.#lose(line.task);
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
      if (after === undefined || this.#known.has(after.id) || !hasLog(after)) continue;
      if (!this.#belongs(after)) continue;
      this.#known.add(after.id);
      this.#logs.add(this.#options.reading.fromBeginning(after));
    }
  }

  /** One task's log ends with the task; a service can always get another one. */
  get #isOver(): boolean {
    return this.#options.target.kind === "task" && this.#lost.size === 0;
  }

  #belongs(task: Task): boolean {
    const { target, scope } = this.#options;
    if (target.kind === "task" || task.serviceId !== target.serviceId) return false;
    return target.slot === undefined || isOfSlot(scope.state, task, target.slot);
  }

  #lose(task: Task): void {
    this.#lost.set(task.id, task);
    this.#cancelRetry ??= this.#options.scope.runtime.clock.after(RETRY_MS, () => this.#retry());
  }

  #retry(): void {
    this.#cancelRetry = undefined;
    const { reading, scope } = this.#options;
    for (const { id, nodeId } of [...this.#lost.values()]) {
      const task = scope.state.tasks.get(id);
      const isOver = task === undefined || isEnded(task);
      const isBack = scope.logs.isReachable(nodeId);
      if (!isOver && !isBack) continue;
      this.#lost.delete(id);
      if (!isOver) this.#logs.add(reading.following(task));
    }
    this.#logs.look();
    if (this.#lost.size > 0) this.#cancelRetry = scope.runtime.clock.after(RETRY_MS, () => this.#retry());
  }
}
