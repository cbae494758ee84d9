import {
  type DispatcherServiceService,
  type LogEntry,
  LogEntry_Stream,
  type PushLogsRequest,
  type StartLogs,
} from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { Engine, LogRecord } from "../engine/engine.js";
import { inBatches } from "./in-batches.js";

/** As many as one reader may ask for. Each holds a connection to Docker and a stream to the leader. */
const MAX_STREAMS = 200;

export interface LogRelayOptions {
  readonly engine: Pick<Engine, "logs">;
  readonly log: Logger;
  readonly containerOf: (taskId: string) => ObservedContainer | undefined;
}

/** Reads logs of tasks for the leader, each on a stream of its own and no faster than the leader takes it. */
export class LogRelay {
  readonly #options: LogRelayOptions;
  readonly #running = new Map<string, AbortController>();

  constructor(options: LogRelayOptions) {
    this.#options = options;
  }

  start(calls: Pick<RpcClient<DispatcherServiceService>, "pushLogs">, request: StartLogs): void {
    const { requestId, taskId } = request;
    const controller = new AbortController();
    const { signal } = controller;
    const isFull = this.#running.size >= MAX_STREAMS;
    this.#running.set(requestId, controller);
    const messages = isFull
      ? failure(requestId, `this node already reads ${MAX_STREAMS} logs`)
      : this.#messages(request, signal);
    calls
      .pushLogs(messages, { signal })
      .catch((error: unknown) => {
        if (!signal.aborted) this.#options.log.debug({ err: error, task: taskId }, "log stream broke off");
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

  async *#messages(request: StartLogs, signal: AbortSignal): AsyncGenerator<PushLogsRequest> {
    const { requestId, taskId, follow, tail, sinceMs, untilMs } = request;
    const { engine, containerOf } = this.#options;
    // An empty log has no entries to say that this node answers.
    yield { requestId, entries: [], error: "" };
    const container = containerOf(taskId);
    if (container === undefined) {
      yield* failure(requestId, `task ${taskId} has no container on this node`);
      return;
    }
    try {
      const records = engine.logs(container, { follow, tail, sinceMs, untilMs, signal });
      for await (const batch of inBatches(records, (record) => record.line.length)) {
        yield { requestId, entries: batch.map(toChunk), error: "" };
      }
    } catch (error) {
      if (signal.aborted) return;
      yield* failure(requestId, error instanceof Error ? error.message : String(error));
    }
  }
}

async function* failure(requestId: string, error: string): AsyncGenerator<PushLogsRequest> {
  yield { requestId, entries: [], error };
}

function toChunk({ stream, timeNs, line }: LogRecord): LogEntry {
  return {
    stream: stream === "stderr" ? LogEntry_Stream.STDERR : LogEntry_Stream.STDOUT,
    timeNs,
    line,
  };
}
