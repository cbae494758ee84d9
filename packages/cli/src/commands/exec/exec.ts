import { BerthError, type ExecOutput, type ExecStarted, isBerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { invalidOption } from "../../options/parse-options.js";
import { type Cli, ExitStatus, type GlobalOptions } from "../../process/cli.js";
import { execRequests } from "./exec-requests.js";

/** berth itself failed, not the command: as `docker run` says it. */
const EXIT_BERTH_FAILED = 125;
const EXIT_INTERRUPTED = 130;

export interface ExecOptions extends GlobalOptions {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly detach?: boolean;
}

/** `berth exec TASK|SERVICE COMMAND…` @throws ExitStatus with the command's exit code, or 125 when berth failed */
export async function execInTask(
  cli: Cli,
  options: ExecOptions,
  target: string,
  command: readonly string[],
): Promise<void> {
  const running = new ExecSession(cli, options);
  try {
    const exitCode = await withClient(cli, options, (client) => running.run(client, { target, command }));
    if (exitCode !== 0) throw new ExitStatus(exitCode);
  } catch (error) {
    throw error instanceof ExitStatus ? error : new ExitStatus(EXIT_BERTH_FAILED, running.explain(error));
  }
}

interface ExecTarget {
  readonly target: string;
  readonly command: readonly string[];
}

/** The terminal's side of one command: what was agreed with the user's terminal is taken back however it ends. */
class ExecSession {
  readonly #cli: Cli;
  readonly #options: ExecOptions;
  readonly #over = new AbortController();
  #started: ExecStarted | undefined;
  #exitCode: number | undefined;
  #signals = 0;

  constructor(cli: Cli, options: ExecOptions) {
    this.#cli = cli;
    this.#options = options;
    if (options.tty && options.interactive && !cli.streams.isInputTty)
      throw invalidOption("--tty", "the input is no terminal; leave -t out");
  }

  async run(client: ControlClient, wanted: ExecTarget): Promise<number> {
    const { streams: passthrough } = this.#cli;
    const requests = execRequests({ start: this.#start(wanted), passthrough, signal: this.#over.signal });
    const stopListening = [
      passthrough.onSignal((name) =>
        this.#onSignal(name, () => requests.send({ $case: "signal", value: name })),
      ),
      passthrough.onResize(() => {
        const size = passthrough.size();
        if (this.#options.tty && size !== undefined) requests.send({ $case: "resize", value: size });
      }),
    ];
    try {
      for await (const { output } of client.exec(requests.messages(), { signal: this.#over.signal }))
        await this.#take(output);
      if (this.#exitCode === undefined) throw connectionLost("the server closed the connection");
      return this.#exitCode;
    } finally {
      passthrough.setRaw(false);
      for (const stop of stopListening) stop();
      this.#over.abort(new ExitStatus(EXIT_INTERRUPTED));
    }
  }

  /** Once a command runs, an error means that nobody knows how it ended. */
  explain(error: unknown): unknown {
    const started = this.#started;
    if (started === undefined || !isBerthError(error)) return error;
    const { code, message, details } = error;
    const where = `${started.taskId} on ${started.nodeHostname}`;
    return new BerthError({
      code,
      message: `lost the command in task ${where}, which is hung up on: ${message}`,
      details,
      cause: error,
    });
  }

  #start({ target, command }: ExecTarget) {
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
        env: env.map((pair) => withValue(pair, this.#cli.env)),
        user,
        workingDir: workdir,
        tty,
        stdin: interactive,
        detach,
        size,
      },
    };
  }

  async #take(output: ExecOutput | undefined): Promise<void> {
    const message = output?.message;
    switch (message?.$case) {
      case "started":
        this.#started = message.value;
        if (this.#options.tty && this.#options.interactive) this.#cli.streams.setRaw(true);
        return;
      case "stdout":
      case "stderr":
        return this.#cli.streams.write(message.$case, message.value);
      case "exited":
        this.#exitCode = message.value.exitCode;
        return;
      case undefined:
        return; // Of a newer server.
    }
  }

  /** The first goes to the command, which may take its time; the second ends the wait. */
  #onSignal(_name: string, send: () => void): void {
    this.#signals += 1;
    if (this.#started !== undefined && this.#signals === 1) send();
    else this.#over.abort(new ExitStatus(EXIT_INTERRUPTED));
  }
}

/** `-e NAME` alone takes the value from here, as docker does. */
function withValue(pair: string, env: Cli["env"]): string {
  if (/^[^=]+=/.test(pair)) return pair;
  if (pair === "" || pair.startsWith("="))
    throw invalidOption("--env", `${JSON.stringify(pair)} is not NAME=VALUE`);
  return `${pair}=${env[pair] ?? ""}`;
}

const connectionLost = (message: string): BerthError =>
  new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
