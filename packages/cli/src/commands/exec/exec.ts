import { BerthError, type ExecOutput, type ExecStart, type ExecStarted, isBerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { EXIT_INTERRUPTED } from "../../exit.js";
import { invalidOption } from "../../options/parse-options.js";
import { type Cli, ExitStatus, type GlobalOptions } from "../../process/cli.js";
import { resolveVariable } from "../shared/read-environment.js";
import { createExecRequests } from "./exec-request-stream.js";

/** Exit code when berth failed instead of the command, as in `docker run`. */
const EXIT_BERTH_FAILED = 125;

export interface ExecOptions extends GlobalOptions {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly detach?: boolean;
}

/**
 * `berth exec TASK|SERVICE COMMAND…`: runs a command in the container of a task.
 * @throws ExitStatus with the command's exit code, or 125 if berth failed.
 */
export async function execInTask(
  cli: Cli,
  options: ExecOptions,
  target: string,
  command: readonly string[],
): Promise<void> {
  const session = new ExecSession(cli, options);
  try {
    const exitCode = await withClient(cli, options, (client) => session.run(client, { target, command }));
    if (exitCode !== 0) throw new ExitStatus(exitCode);
  } catch (error) {
    if (error instanceof ExitStatus) throw error;
    throw new ExitStatus(EXIT_BERTH_FAILED, session.describeError(error));
  }
}

/** A command and the task or service to run it in. */
interface ExecTarget {
  readonly target: string;
  readonly command: readonly string[];
}

/** Connects the standard streams to one command in a container. Always restores the terminal at the end. */
class ExecSession {
  readonly #cli: Cli;
  readonly #options: ExecOptions;
  readonly #ended = new AbortController();
  #started: ExecStarted | undefined;
  #exitCode: number | undefined;
  #signalCount = 0;

  constructor(cli: Cli, options: ExecOptions) {
    this.#cli = cli;
    this.#options = options;
    if (options.tty && options.interactive && !cli.streams.isInputTty)
      throw invalidOption("--tty", "the input device is not a TTY: remove -t");
  }

  /** Runs the command and returns its exit code. */
  async run(client: ControlClient, target: ExecTarget): Promise<number> {
    const { streams } = this.#cli;
    const { signal } = this.#ended;
    const requests = createExecRequests({ start: this.#createStart(target), streams, signal });
    const removeListeners = [
      streams.onSignal((name) => this.#onSignal(() => requests.send({ $case: "signal", value: name }))),
      streams.onResize(() => {
        const size = streams.size();
        if (this.#options.tty && size !== undefined) requests.send({ $case: "resize", value: size });
      }),
    ];
    try {
      for await (const { output } of client.exec(requests.messages(), { signal }))
        await this.#applyOutput(output);
      if (this.#exitCode === undefined) throw connectionLostError("the server closed the connection");
      return this.#exitCode;
    } finally {
      streams.setRawMode(false);
      for (const remove of removeListeners) remove();
      this.#ended.abort(new ExitStatus(EXIT_INTERRUPTED));
    }
  }

  /** Returns the error for the user. Once the command has started, the error names its task instead of an exit code. */
  describeError(error: unknown): unknown {
    const started = this.#started;
    if (started === undefined || !isBerthError(error)) return error;
    const { code, message, details } = error;
    const task = `task ${started.taskId} on ${started.nodeHostname}`;
    return new BerthError({
      code,
      message: `lost connection to the command in ${task}; it was sent SIGHUP: ${message}`,
      details,
      cause: error,
    });
  }

  #createStart({ target, command }: ExecTarget): ExecStart {
    const {
      interactive = false,
      tty = false,
      env = [],
      user = "",
      workdir = "",
      detach = false,
    } = this.#options;
    const size = tty ? this.#cli.streams.size() : undefined;
    return {
      target,
      command: {
        command: [...command],
        env: env.flatMap((variable) => resolveVariable(variable, this.#cli.env)),
        user,
        workingDir: workdir,
        tty,
        stdin: interactive,
        detach,
        size,
      },
    };
  }

  async #applyOutput(output: ExecOutput | undefined): Promise<void> {
    const message = output?.message;
    switch (message?.$case) {
      case "started":
        this.#started = message.value;
        if (this.#options.tty && this.#options.interactive) this.#cli.streams.setRawMode(true);
        return;
      case "stdout":
      case "stderr":
        return this.#cli.streams.write(message.$case, message.value);
      case "exited":
        this.#exitCode = message.value.exitCode;
        return;
      case undefined:
        return; // Sent by a newer server.
    }
  }

  /** Forwards the first signal to the command, which may handle it. The second signal stops waiting for the command. */
  #onSignal(forward: () => void): void {
    this.#signalCount += 1;
    if (this.#started !== undefined && this.#signalCount === 1) forward();
    else this.#ended.abort(new ExitStatus(EXIT_INTERRUPTED));
  }
}

function connectionLostError(message: string): BerthError {
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
