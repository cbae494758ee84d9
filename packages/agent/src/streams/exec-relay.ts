import type { DispatcherServiceService, PushExecRequest, StartExec } from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { ExecSession } from "./exec-session.js";
import type { StreamContext } from "./stream-context.js";
import { StreamRelay } from "./stream-relay.js";

/**
 * Maximum number of concurrent streams. Each uses a connection to Docker or to a container, and a stream to the leader. A
 * command also is a process.
 */
const MAX_STREAMS = 128;

type Calls = Pick<RpcClient<DispatcherServiceService>, "pushExec">;

export interface ExecRelayOptions extends Omit<StreamContext, "signal"> {
  readonly log: Logger;
}

/** Opens streams to this node's containers: commands, attachments, copies and connections. Each has its own call. */
export class ExecRelay extends StreamRelay<StartExec, "pushExec"> {
  readonly #options: ExecRelayOptions;

  constructor(options: ExecRelayOptions) {
    super(options.log, MAX_STREAMS);
    this.#options = options;
  }

  protected async relay(calls: Calls, request: StartExec, signal: AbortSignal): Promise<void> {
    const { log, ...context } = this.#options;
    const { requestId, taskId, command } = request;
    const [program] = command?.command ?? [];
    log.info({ task: taskId, requestId, kind: kindOf(request), program }, "stream to container opened");
    const session = new ExecSession(request, { ...context, signal });
    try {
      for await (const { input } of calls.pushExec(session.messages(), { signal })) {
        if (input !== undefined) await session.handleInput(input);
      }
    } finally {
      await session.hangUp();
      log.debug({ task: taskId, requestId }, "stream to container ended");
    }
  }

  protected async refuse(calls: Calls, { requestId }: StartExec, maxStreams: number): Promise<void> {
    const error = `this node already has ${maxStreams} streams to its containers`;
    async function* messages(): AsyncGenerator<PushExecRequest> {
      yield { requestId, output: undefined, error };
    }
    for await (const _ of calls.pushExec(messages()));
  }
}

function kindOf({ command, attach, readArchive, writeArchive, connectPort }: StartExec): string {
  const kinds = { command, attach, readArchive, writeArchive, connectPort };
  return Object.entries(kinds).find(([, value]) => value !== undefined)?.[0] ?? "unknown";
}
