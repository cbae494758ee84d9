import type { DispatcherServiceService, PushExecRequest, StartExec } from "@berth/proto";
import type { RpcClient } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { Engine } from "../engine/engine.js";
import { ExecSession } from "./exec-session.js";

/** Each holds a process in a container, a connection to Docker and a stream to the leader. */
const MAX_EXECS = 32;

export interface ExecRelayOptions {
  readonly engine: Pick<Engine, "exec" | "execDetached">;
  readonly log: Logger;
  readonly containerOf: (taskId: string) => ObservedContainer | undefined;
}

type Calls = Pick<RpcClient<DispatcherServiceService>, "pushExec">;

/** Runs commands in containers for the leader, each on a stream of its own. */
export class ExecRelay {
  readonly #options: ExecRelayOptions;
  readonly #running = new Map<string, AbortController>();

  constructor(options: ExecRelayOptions) {
    this.#options = options;
  }

  start(calls: Calls, request: StartExec): void {
    const controller = new AbortController();
    const isFull = this.#running.size >= MAX_EXECS;
    this.#running.set(request.requestId, controller);
    const ended = isFull ? this.#refuse(calls, request) : this.#run(calls, request, controller.signal);
    ended
      .catch((error: unknown) => {
        if (!controller.signal.aborted)
          this.#options.log.debug({ err: error, task: request.taskId }, "exec broke off");
      })
      .finally(() => {
        controller.abort();
        this.#running.delete(request.requestId);
      });
  }

  stop(requestId: string): void {
    this.#running.get(requestId)?.abort();
  }

  /** The leader is gone, and with it everybody who reads and types. */
  stopAll(): void {
    for (const controller of this.#running.values()) controller.abort();
  }

  async #run(calls: Calls, request: StartExec, signal: AbortSignal): Promise<void> {
    const { engine, log, containerOf } = this.#options;
    const { requestId, taskId, command } = request;
    const [program = ""] = command?.command ?? [];
    log.info({ task: taskId, program }, "exec");
    const session = new ExecSession({ engine, request, container: containerOf(taskId), signal });
    try {
      for await (const { input } of calls.pushExec(session.messages(), { signal })) {
        if (input !== undefined) await session.take(input);
      }
    } finally {
      await session.hangUp();
      log.debug({ task: taskId, requestId }, "exec is over");
    }
  }

  async #refuse(calls: Calls, { requestId }: StartExec): Promise<void> {
    const error = `this node already runs ${MAX_EXECS} commands for others`;
    async function* messages(): AsyncGenerator<PushExecRequest> {
      yield { requestId, output: undefined, error };
    }
    for await (const _ of calls.pushExec(messages()));
  }
}
