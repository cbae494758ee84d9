import {
  BerthError,
  type LogEntry,
  type PushLogsRequest,
  type PushLogsResponse,
  type StartLogs,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import { onAbort } from "../../runtime/abort.js";
import { BoundedQueue } from "../../runtime/bounded-queue.js";
import type { Runtime } from "../../runtime/runtime.js";
import { GroupedMap } from "../../state/grouped.js";
import type { Session } from "../session.js";

/** Messages of one task's log that wait for a slow reader; after that its agent waits. */
const CAPACITY = 16;

/** An agent answers a request for a log at once. A log that is followed may have nothing to say for as long as it likes. */
const ANSWER_TIMEOUT_MS = 5_000;

/** One task's log, in order, in the pieces in which its agent sent it. */
export type TaskLog = BoundedQueue<readonly LogEntry[]>;

export interface LogRequest extends Pick<StartLogs, "taskId" | "follow" | "tail" | "sinceMs" | "untilMs"> {
  readonly nodeId: string;
}

interface Pending {
  readonly log: TaskLog;
  readonly answered: () => void;
}

/** Brings logs from the agents, which are asked over their sessions and answer over a stream of their own. */
export class LogRelay {
  readonly #runtime: Runtime;
  readonly #sessionOf: (nodeId: string) => Session | undefined;
  readonly #pending = new Map<string, Pending>();
  /** Logs that are open, by their nodes. */
  readonly #open = new GroupedMap<TaskLog>();

  constructor(options: {
    readonly runtime: Runtime;
    readonly sessionOf: (nodeId: string) => Session | undefined;
  }) {
    this.#runtime = options.runtime;
    this.#sessionOf = options.sessionOf;
  }

  /** Whether the node's agent is connected. */
  reaches(nodeId: string): boolean {
    return this.#sessionOf(nodeId)?.isEnded === false;
  }

  /** Nothing more comes from there, whatever its connection says. */
  nodeIsGone(nodeId: string): void {
    for (const log of this.#open.get(nodeId).values()) log.end(unavailable("its node is down"));
  }

  /** Asks for the log of one task. It ends with an error when it is not to be had, and when `signal` aborts. */
  open({ nodeId, ...wanted }: LogRequest, signal: AbortSignal): TaskLog {
    const log: TaskLog = new BoundedQueue(CAPACITY);
    const session = this.#sessionOf(nodeId);
    if (session === undefined) {
      log.end(unavailable("its node is not connected"));
      return log;
    }
    const requestId = this.#runtime.newId();
    const { clock } = this.#runtime;
    const noAnswer = (): void => {
      if (wanted.follow && !session.isEnded) cancelTimeout = clock.after(ANSWER_TIMEOUT_MS, noAnswer);
      else log.end(unavailable("its node does not answer"));
    };
    let cancelTimeout = clock.after(ANSWER_TIMEOUT_MS, noAnswer);
    this.#pending.set(requestId, { log, answered: () => cancelTimeout() });
    this.#open.set(nodeId, requestId, log);
    session.send({ $case: "startLogs", value: { requestId, ...wanted } });
    onAbort(signal, () => {
      cancelTimeout();
      this.#pending.delete(requestId);
      this.#open.delete(nodeId, requestId);
      if (!log.isEnded && !session.isEnded) session.send({ $case: "stopLogs", value: { requestId } });
      log.end();
    });
    return log;
  }

  /** The agent's side: passes on what comes until the log ends or nobody reads it any more. */
  async push(
    requests: AsyncIterable<PushLogsRequest>,
    { signal }: Pick<CallContext, "signal">,
  ): Promise<PushLogsResponse> {
    let log: TaskLog | undefined;
    const forget = onAbort(signal, () => log?.end(unavailable("the connection to its node broke")));
    try {
      for await (const { requestId, entries: chunks, error } of requests) {
        log ??= this.#claim(requestId);
        if (chunks.length > 0) await log.put(chunks);
        if (error !== "") log.end(new BerthError({ code: "BERTH_ENGINE_FAILED", message: error }));
        if (log.isEnded) break;
      }
      log?.end();
      return {};
    } catch (error) {
      log?.end(unavailable("the connection to its node broke"));
      throw error;
    } finally {
      forget();
    }
  }

  #claim(requestId: string): TaskLog {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) {
      throw new BerthError({
        code: "BERTH_NOT_FOUND",
        message: `Nobody waits for the log ${requestId} any more.`,
      });
    }
    pending.answered();
    this.#pending.delete(requestId);
    return pending.log;
  }
}

function unavailable(message: string): BerthError {
  return new BerthError({ code: "BERTH_NODE_UNREACHABLE", message });
}
