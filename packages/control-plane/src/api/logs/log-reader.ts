import { BerthError, type LogEntry, type StreamLogsRequest, type Task } from "@berth/proto";
import type { TaskLog } from "../../dispatcher/relays/log-relay.js";
import type { ApiContext } from "../api-context.js";
import { compareTimes, type LogSource } from "./past-logs.js";

const NS_PER_MS = 1_000_000n;

/** Timeout for each batch of a past log, so that an unresponsive agent does not delay the other logs. */
const PAST_TIMEOUT_MS = 10_000;

type LogRange = Pick<StreamLogsRequest, "follow" | "tail" | "sinceMs" | "untilMs">;

export interface LogReaderOptions {
  readonly request: StreamLogsRequest;
  readonly context: ApiContext;
  /** The caller that reads the logs, as `callerKey` returns it. */
  readonly client: string;
  readonly signal: AbortSignal;
}

/** Opens the logs of one request and tracks the position in each log. */
export class LogReader {
  readonly #options: LogReaderOptions;
  /** Time of the last line that was read, by task ID. */
  readonly #lastTimeNs = new Map<string, string>();

  constructor(options: LogReaderOptions) {
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.#options.signal;
  }

  /** Opens the past lines of a task's log that the request covers. */
  openPast(task: Task): LogSource {
    const log = this.#open(task, { ...this.#options.request, follow: false });
    return { task, log: { take: async () => this.#takeUnread(task, await this.#withTimeout(log.take())) } };
  }

  /** Follows a task's log from the last line that was read. Before the first line, starts where the request says. */
  follow(task: Task): LogSource {
    const { tail, sinceMs, untilMs } = this.#options.request;
    const afterNs = this.#lastTimeNs.get(task.id);
    const from =
      afterNs === undefined ? { tail, sinceMs } : { tail: -1, sinceMs: Number(BigInt(afterNs) / NS_PER_MS) };
    const log = this.#open(task, { ...from, untilMs, follow: true });
    return { task, log: { take: async () => this.#takeUnread(task, await log.take(), afterNs) } };
  }

  /** Follows the whole log of a task that was created after the request. */
  followNew(task: Task): LogSource {
    const { sinceMs, untilMs } = this.#options.request;
    const log = this.#open(task, { tail: -1, sinceMs, untilMs, follow: true });
    return { task, log: { take: async () => this.#takeUnread(task, await log.take()) } };
  }

  #open({ id: taskId, nodeId }: Task, { follow, tail, sinceMs, untilMs }: LogRange): TaskLog {
    const { context, client, signal } = this.#options;
    return context.logs.open({ nodeId, client, taskId, follow, tail, sinceMs, untilMs }, signal);
  }

  /**
   * Returns the entries later than `afterNs`, and records the time of the last one as read. Agents can only start at a whole
   * millisecond, so a resumed log repeats entries.
   */
  #takeUnread(
    { id }: Task,
    entries: readonly LogEntry[] | undefined,
    afterNs?: string,
  ): readonly LogEntry[] | undefined {
    const unread =
      afterNs === undefined ? entries : entries?.filter(({ timeNs }) => compareTimes(timeNs, afterNs) > 0);
    const newest = unread?.at(-1);
    if (newest !== undefined) this.#lastTimeNs.set(id, newest.timeNs);
    return unread;
  }

  #withTimeout<T>(batch: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const { clock } = this.#options.context.runtime;
      const cancel = clock.after(PAST_TIMEOUT_MS, () => reject(pastLogTimeoutError()));
      batch.then(resolve, reject).finally(cancel);
    });
  }
}

function pastLogTimeoutError(): BerthError {
  const message = `the task's node sent nothing for ${PAST_TIMEOUT_MS / 1_000} s`;
  return new BerthError({ code: "BERTH_NODE_UNREACHABLE", message });
}
