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
import { awaitContainer } from "./await-container.js";
import { groupIntoBatches } from "./batches.js";
import { StreamRelay } from "./stream-relay.js";

/**
 * Maximum number of concurrent logs, which the leader shares between its clients. Each holds a connection to Docker and
 * a stream to the leader.
 */
const MAX_STREAMS = 400;

type Calls = Pick<RpcClient<DispatcherServiceService>, "pushLogs">;

export interface LogRelayOptions {
  readonly engine: Pick<Engine, "logs">;
  readonly log: Logger;
  readonly containerOf: (taskId: string) => ObservedContainer | undefined;
}

/** Streams the logs of this node's tasks to the leader, each on its own stream and no faster than the leader reads. */
export class LogRelay extends StreamRelay<StartLogs, "pushLogs"> {
  readonly #options: LogRelayOptions;

  constructor(options: LogRelayOptions) {
    super(options.log, MAX_STREAMS);
    this.#options = options;
  }

  protected async relay(calls: Calls, request: StartLogs, signal: AbortSignal): Promise<void> {
    await calls.pushLogs(this.#messages(request, signal), { signal });
  }

  protected async refuse(calls: Calls, { requestId }: StartLogs, maxStreams: number): Promise<void> {
    await calls.pushLogs(failure(requestId, `this node is already reading ${maxStreams} logs`));
  }

  async *#messages(request: StartLogs, signal: AbortSignal): AsyncGenerator<PushLogsRequest> {
    const { requestId, taskId, follow, tail, sinceMs, untilMs } = request;
    const { engine, containerOf } = this.#options;
    // Shows the leader at once that the node responds: an empty log has no other message.
    yield { requestId, entries: [], error: "" };
    const container = await awaitContainer(containerOf, taskId, signal);
    if (container === undefined) {
      yield* failure(requestId, `task ${taskId} has no container on this node`);
      return;
    }
    try {
      const records = engine.logs(container, { follow, tail, sinceMs, untilMs, signal });
      for await (const batch of groupIntoBatches(records, (record) => record.line.length)) {
        yield { requestId, entries: batch.map(toEntry), error: "" };
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

function toEntry({ stream, timeNs, line }: LogRecord): LogEntry {
  return {
    stream: stream === "stderr" ? LogEntry_Stream.STDERR : LogEntry_Stream.STDOUT,
    timeNs,
    line,
  };
}
