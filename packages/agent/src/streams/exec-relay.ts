import type { DispatcherServiceService, PushExecRequest, StartExec } from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { Engine } from "../engine/engine.js";
import { awaitContainer } from "./await-container.js";
import { ExecSession } from "./exec-session.js";
import { StreamRelay } from "./stream-relay.js";

/** Each exec holds a process in a container, a connection to Docker and a stream to the leader. */
const MAX_EXECS = 32;

type Calls = Pick<RpcClient<DispatcherServiceService>, "pushExec">;

export interface ExecRelayOptions {
  readonly engine: Pick<Engine, "exec" | "execDetached">;
  readonly log: Logger;
  readonly containerOf: (taskId: string) => ObservedContainer | undefined;
}

/** Runs the commands of `berth exec` in this node's containers. Each command has its own stream to the leader. */
export class ExecRelay extends StreamRelay<StartExec, "pushExec"> {
  readonly #options: ExecRelayOptions;

  constructor(options: ExecRelayOptions) {
    super(options.log, MAX_EXECS);
    this.#options = options;
  }

  protected async relay(calls: Calls, request: StartExec, signal: AbortSignal): Promise<void> {
    const { engine, log, containerOf } = this.#options;
    const { requestId, taskId, command } = request;
    const [program = ""] = command?.command ?? [];
    log.info({ task: taskId, requestId, program }, "exec started");
    const container = await awaitContainer(containerOf, taskId, signal);
    const session = new ExecSession({ engine, request, container, signal });
    try {
      for await (const { input } of calls.pushExec(session.messages(), { signal })) {
        if (input !== undefined) await session.handleInput(input);
      }
    } finally {
      await session.hangUp();
      log.debug({ task: taskId, requestId }, "exec ended");
    }
  }

  protected async refuse(calls: Calls, { requestId }: StartExec, maxStreams: number): Promise<void> {
    const error = `this node already runs ${maxStreams} exec commands`;
    async function* messages(): AsyncGenerator<PushExecRequest> {
      yield { requestId, output: undefined, error };
    }
    for await (const _ of calls.pushExec(messages()));
  }
}
