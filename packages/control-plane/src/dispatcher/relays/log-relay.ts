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
import { AgentRequests, connectionLostError, type RelayOptions, type ResultSink } from "./agent-requests.js";

/** Maximum number of queued batches of one log, of 256 KiB each. When the queue is full, the agent waits. */
const QUEUE_CAPACITY = 2;

/** Maximum number of logs that are read on one node. Agents have the same limit. */
export const MAX_LOGS_PER_NODE = 400;

/**
 * Maximum number of logs that one caller reads at the same time, on all nodes together: two services with many tasks.
 */
const MAX_LOGS_PER_CLIENT = 400;

/** The log of one task, in order and in the batches that the agent sent. */
export class TaskLog extends BoundedQueue<readonly LogEntry[]> implements ResultSink {
  onEnded = (): void => {};

  constructor() {
    super(QUEUE_CAPACITY);
  }

  override end(error?: Error): void {
    super.end(error);
    this.onEnded();
  }

  get needsStop(): boolean {
    return !this.isEnded;
  }
}

export interface LogRequest extends Pick<StartLogs, "taskId" | "follow" | "tail" | "sinceMs" | "untilMs"> {
  readonly nodeId: string;
  /** The caller that reads the log, as `callerKey` returns it. */
  readonly client: string;
}

/** Reads task logs from the nodes, for `berth logs`. Relays each agent's PushLogs stream to the caller of `open`. */
export class LogRelay {
  readonly #requests: AgentRequests<TaskLog>;

  constructor(options: RelayOptions) {
    this.#requests = new AgentRequests({
      ...options,
      capacity: MAX_LOGS_PER_NODE,
      perClient: MAX_LOGS_PER_CLIENT,
    });
  }

  /** Returns whether the node's agent is connected. */
  isReachable(nodeId: string): boolean {
    return this.#requests.isReachable(nodeId);
  }

  /** Ends all logs of a node that went down, with an error. */
  onNodeDown(nodeId: string): void {
    this.#requests.onNodeDown(nodeId);
  }

  /**
   * Requests the log of one task. The log ends with an error if it cannot be read, and without one when `signal` is
   * aborted.
   */
  open({ nodeId, client, ...request }: LogRequest, signal: AbortSignal): TaskLog {
    const log = new TaskLog();
    this.#requests.open(
      { nodeId, client },
      log,
      {
        start: (requestId) => ({ $case: "startLogs", value: { requestId, ...request } }),
        stop: (requestId) => ({ $case: "stopLogs", value: { requestId } }),
      },
      signal,
    );
    return log;
  }

  /** Serves the agent's stream: receives log entries until the log ends or its reader leaves. */
  async serve(
    requests: AsyncIterable<PushLogsRequest>,
    { caller, signal }: Pick<CallContext, "caller" | "signal">,
  ): Promise<PushLogsResponse> {
    let log: TaskLog | undefined;
    const stopWatching = onAbort(signal, () => log?.end(connectionLostError()));
    try {
      for await (const { requestId, entries, error } of requests) {
        log ??= this.#requests.claim(requestId, caller);
        if (entries.length > 0) await log.put(entries);
        if (error !== "") log.end(new BerthError({ code: "BERTH_ENGINE_FAILED", message: error }));
        if (log.isEnded) break;
      }
      log?.end();
      return {};
    } catch (error) {
      log?.end(connectionLostError());
      throw error;
    } finally {
      stopWatching();
    }
  }
}
