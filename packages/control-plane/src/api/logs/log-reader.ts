import { BerthError, type LogEntry, type StreamLogsRequest, type Task } from "@berth/proto";
import type { TaskLog } from "../../dispatcher/relays/log-relay.js";
import type { ApiContext } from "../api-context.js";
import { compareTimes, type LogSource } from "./merge-logs.js";

const NS_PER_MS = 1_000_000n;

/** The past is there to be read: an agent that gives nothing of it for so long hangs, and the others must not wait. */
const PAST_TIMEOUT_MS = 10_000;

type Wanted = Pick<StreamLogsRequest, "follow" | "tail" | "sinceMs" | "untilMs">;

export interface LogReadingOptions {
  readonly request: StreamLogsRequest;
  readonly scope: ApiContext;
  readonly signal: AbortSignal;
}

/** Opens the logs of one request, and knows how far each has been read. */
export class LogReading {
  readonly #options: LogReadingOptions;
  /** Time of the last line of each task. */
  readonly #readTo = new Map<string, string>();

  constructor(options: LogReadingOptions) {
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.#options.signal;
  }

  /** What the task has written until now, as far as the request wants it. */
  past(task: Task): LogSource {
    const log = this.#open(task, { ...this.#options.request, follow: false });
    return { task, log: { take: async () => this.#note(task, await this.#inTime(log.take())) } };
  }

  /** What it writes after the last line that has been read. Of a task without one: what the request wants. */
  following(task: Task): LogSource {
    const { tail, sinceMs, untilMs } = this.#options.request;
    const after = this.#readTo.get(task.id);
    const from =
      after === undefined ? { tail, sinceMs } : { tail: -1, sinceMs: Number(BigInt(after) / NS_PER_MS) };
    const log = this.#open(task, { ...from, untilMs, follow: true });
    return { task, log: { take: async () => this.#note(task, await log.take(), after) } };
  }

  /** All that a task writes which began after the request. */
  fromBeginning(task: Task): LogSource {
    const { sinceMs, untilMs } = this.#options.request;
    const log = this.#open(task, { tail: -1, sinceMs, untilMs, follow: true });
    return { task, log: { take: async () => this.#note(task, await log.take()) } };
  }

  #open({ id: taskId, nodeId }: Task, { follow, tail, sinceMs, untilMs }: Wanted): TaskLog {
    const { scope, signal } = this.#options;
    return scope.logs.open({ nodeId, taskId, follow, tail, sinceMs, untilMs }, signal);
  }

  /** Agents start at a whole millisecond: lines up to `after` have been read before. */
  #note(
    { id }: Task,
    chunks: readonly LogEntry[] | undefined,
    after?: string,
  ): readonly LogEntry[] | undefined {
    const news =
      after === undefined ? chunks : chunks?.filter(({ timeNs }) => compareTimes(timeNs, after) > 0);
    const last = news?.at(-1);
    if (last !== undefined) this.#readTo.set(id, last.timeNs);
    return news;
  }

  #inTime<T>(taken: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#options.scope.runtime.clock.after(PAST_TIMEOUT_MS, () => reject(silent()));
      taken.then(resolve, reject).finally(cancel);
    });
  }
}

function silent(): BerthError {
  const message = `its node gave nothing for ${PAST_TIMEOUT_MS / 1_000} s`;
  return new BerthError({ code: "BERTH_NODE_UNREACHABLE", message });
}
