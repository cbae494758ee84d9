import { BerthError, type ExecOutput, type ExecStart, type ExecStarted } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { EXIT_INTERRUPTED } from "../../exit.js";
import { invalidOptionError } from "../../options/parse-options.js";
import { type Cli, ExitStatus, type SignalName } from "../../process/cli.js";
import { withoutDetachKeys } from "./detach-keys.js";
import { createRequests } from "./request-stream.js";

/** Exit code when berth failed instead of the process, as in `docker run`. */
export const EXIT_BERTH_FAILED = 125;

/** Number of Ctrl-C presses that end the session, whatever the container does, as in `docker run`. */
const SIGNALS_TO_LEAVE = 3;

const FORWARDED_SIGNALS: readonly SignalName[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
];
const ENDING_SIGNALS: readonly SignalName[] = ["SIGINT", "SIGTERM"];

export interface SessionOptions {
  /** Whether standard input is sent. */
  readonly stdin: boolean;
  /** Whether the caller asks for a terminal. Undefined if the container decides. */
  readonly tty?: boolean | undefined;
  /**
   * How signals are handled. `first`: the first signal is sent to the process, and the second one ends the session.
   * `all`: all signals are sent to a process without a terminal. `none`: a signal ends the session.
   */
  readonly signals: "first" | "all" | "none";
  /** The keys that detach from a terminal. Undefined to disable detaching. */
  readonly detachKeys?: readonly number[] | undefined;
}

/** Result of a session. */
export type SessionEnd =
  | {
      readonly kind: "exited";
      readonly exitCode: number;
      /** Reason why a container did not start. Empty if it has run. */
      readonly error: string;
    }
  /** The user pressed the detach keys. The process continues. */
  | { readonly kind: "detached" };

/** Connects the standard streams to a process in a container. Always restores the terminal at the end. */
export class ContainerSession {
  readonly #cli: Cli;
  readonly #options: SessionOptions;
  readonly #ended = new AbortController();
  #started: ExecStarted | undefined;
  #end: SessionEnd | undefined;
  #signalCount = 0;

  constructor(cli: Cli, options: SessionOptions) {
    this.#cli = cli;
    this.#options = options;
    if (options.tty && options.stdin && !cli.streams.isInputTty) {
      throw invalidOptionError("--tty", "the input device is not a TTY; remove -t");
    }
  }

  /** The task of the process. Undefined before the process is connected. */
  get started(): ExecStarted | undefined {
    return this.#started;
  }

  /**
   * Opens the stream and waits for its end.
   *
   * @throws ExitStatus if a signal ends the session
   */
  async run(client: ControlClient, start: ExecStart): Promise<SessionEnd> {
    const { streams } = this.#cli;
    const { signal } = this.#ended;
    const requests = createRequests({ start, input: this.#input(), signal });
    const { signals } = this.#options;
    const names = signals === "all" ? FORWARDED_SIGNALS : ENDING_SIGNALS;
    const removeListeners = [
      streams.onSignal(
        (name) => this.#onSignal(name, () => requests.send({ $case: "signal", value: name })),
        names,
      ),
      streams.onResize(() => {
        const size = streams.size();
        if (this.#hasTty && size !== undefined) requests.send({ $case: "resize", value: size });
      }),
    ];
    try {
      for await (const { output } of client.exec(requests.messages(), { signal })) await this.#apply(output);
      if (this.#end === undefined) throw connectionLostError("the server closed the connection");
      return this.#end;
    } catch (error) {
      if (this.#end?.kind === "detached") return this.#end;
      throw error;
    } finally {
      streams.setRawMode(false);
      for (const remove of removeListeners) remove();
      this.#ended.abort(new ExitStatus(EXIT_INTERRUPTED));
    }
  }

  /** The size of the caller's terminal, if the process gets one. */
  get size(): { readonly columns: number; readonly rows: number } | undefined {
    return this.#options.tty === false ? undefined : this.#cli.streams.size();
  }

  get #hasTty(): boolean {
    return this.#options.tty ?? this.#started?.tty ?? false;
  }

  #input(): AsyncIterable<Uint8Array> | undefined {
    const { stdin, detachKeys } = this.#options;
    if (!stdin) return undefined;
    const input = this.#cli.streams.input(this.#ended.signal);
    if (detachKeys === undefined || !this.#cli.streams.isInputTty) return input;
    return withoutDetachKeys(input, detachKeys, () => {
      if (!this.#hasTty) return;
      this.#end = { kind: "detached" };
      this.#ended.abort(new ExitStatus(0));
    });
  }

  async #apply(output: ExecOutput | undefined): Promise<void> {
    const message = output?.message;
    switch (message?.$case) {
      case "started":
        this.#started = message.value;
        if (this.#hasTty && this.#options.stdin) this.#cli.streams.setRawMode(true);
        return;
      case "stdout":
      case "stderr":
        return this.#cli.streams.write(message.$case, message.value);
      case "exited":
        this.#end = { kind: "exited", ...message.value };
        return;
      case "outputEnd":
      case undefined:
        return; // A message for another kind of session, or of a newer server.
    }
  }

  #onSignal(name: SignalName, forward: () => void): void {
    const { signals } = this.#options;
    if (ENDING_SIGNALS.includes(name)) this.#signalCount += 1;
    const isForwarded =
      this.#started !== undefined &&
      (signals === "first" ? this.#signalCount === 1 : signals === "all" && !this.#hasTty);
    if (isForwarded && this.#signalCount < SIGNALS_TO_LEAVE) {
      forward();
    } else {
      this.#ended.abort(new ExitStatus(EXIT_INTERRUPTED));
    }
  }
}

function connectionLostError(message: string): BerthError {
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
