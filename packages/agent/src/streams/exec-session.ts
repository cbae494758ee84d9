import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import {
  assertNever,
  type ExecInput,
  type ExecOutput,
  type PushExecRequest,
  type StartExec,
} from "@berth/proto";
import type { ObservedContainer } from "../core/docker/observed-container.js";
import type { Engine, EngineExec } from "../engine/engine.js";

/** Time for a command to clean up between SIGHUP and SIGKILL. */
const HANGUP_GRACE_MS = 5_000;

export interface ExecSessionOptions {
  readonly engine: Pick<Engine, "exec" | "execDetached">;
  readonly request: StartExec;
  readonly container: ObservedContainer | undefined;
  /** Disconnects the command's input and output. */
  readonly signal: AbortSignal;
}

/** Runs one command in a container: yields its output as messages to the leader and passes input to it. */
export class ExecSession {
  readonly #options: ExecSessionOptions;
  #exec: EngineExec | undefined;
  #hasExited = false;
  #markStarted: () => void = () => {};
  /** Input may arrive before Docker has started the command. */
  readonly #started = new Promise<void>((resolve) => {
    this.#markStarted = resolve;
  });

  constructor(options: ExecSessionOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", () => this.#markStarted(), { once: true });
  }

  /** Starts the command and yields its output no faster than it is consumed. Never throws. */
  async *messages(): AsyncGenerator<PushExecRequest> {
    const { signal, request } = this.#options;
    const { requestId } = request;
    yield { requestId, output: undefined, error: "" };
    try {
      for await (const output of this.#outputs()) yield { requestId, output, error: "" };
    } catch (error) {
      if (!signal.aborted)
        yield { requestId, output: undefined, error: error instanceof Error ? error.message : String(error) };
    } finally {
      this.#markStarted();
    }
  }

  /** Passes input, a terminal size or a signal to the command. */
  async handleInput({ message }: ExecInput): Promise<void> {
    await this.#started;
    const exec = this.#exec;
    if (exec === undefined) return;
    switch (message?.$case) {
      case "stdin":
        return exec.write(message.value);
      case "stdinEnd":
        return exec.endInput();
      case "resize":
        return exec.resize(message.value);
      case "signal":
        if (isSignal(message.value)) await exec.kill(message.value).catch(() => {});
        return;
      case undefined:
        // Sent by a newer leader.
        return;
      default:
        return assertNever(message);
    }
  }

  /** Ends a command whose reader has disconnected: sends SIGHUP, as a closed terminal does, and later SIGKILL. */
  async hangUp(): Promise<void> {
    const exec = this.#exec;
    if (exec === undefined || this.#hasExited) return;
    exec.endInput();
    await exec.kill("SIGHUP").catch(() => {});
    await sleep(HANGUP_GRACE_MS, undefined, { ref: false });
    await exec.kill("SIGKILL").catch(() => {});
  }

  async *#outputs(): AsyncGenerator<ExecOutput> {
    const { engine, request, container, signal } = this.#options;
    const { taskId, command } = request;
    if (container?.state !== "running" || command === undefined)
      throw new Error(`task ${taskId} has no running container on this node`);
    const options = { ...command, signal };
    if (command.detach) {
      await engine.execDetached(container.id, options);
      yield started(taskId);
      yield { message: { $case: "exited", value: { exitCode: 0 } } };
      return;
    }
    const exec = await engine.exec(container.id, options);
    this.#exec = exec;
    this.#markStarted();
    if (command.tty && command.size !== undefined) void exec.resize(command.size);
    yield started(taskId);
    for await (const { stream, bytes } of exec.output) yield { message: { $case: stream, value: bytes } };
    const exitCode = await exec.exitCode();
    this.#hasExited = true;
    yield { message: { $case: "exited", value: { exitCode } } };
  }
}

function started(taskId: string): ExecOutput {
  return { message: { $case: "started", value: { taskId, nodeHostname: "" } } } satisfies ExecOutput;
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}
