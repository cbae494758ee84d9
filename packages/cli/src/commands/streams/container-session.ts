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
const MAX_INTERRUPTS = 3;

const FORWARDED_SIGNALS: readonly SignalName[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
];
/** Signals that users send to end the session. */
const INTERRUPT_SIGNALS: readonly SignalName[] = ["SIGINT", "SIGTERM"];
/** Signals that only have a meaning for the process in the container. */
const USER_SIGNALS: readonly SignalName[] = ["SIGUSR1", "SIGUSR2"];

export interface SessionOptions {
  /** Whether standard input is sent. */
  readonly stdin: boolean;
  /** Whether the caller asks for a terminal. Undefined if the container decides. */
  readonly tty?: boolean | undefined;
  /**
   * How signals are handled. `first`: the first signal is sent to the process, and the second one ends the session.
   * `all`: all signals are sent to a process without a terminal, and other signals than SIGUSR1 and SIGUSR2 end a session
   * with one. `none`: a signal ends the session.
   */
  readonly signals: "first" | "all" | "none";
  /** The keys that detach from a terminal. Undefined to disable detaching. */
  readonly detachKeys?: readonly number[] | undefined;
}

/** Result of a session. */
export type SessionResult =
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
  readonly #abort = new AbortController();
  #started: ExecStarted | undefined;
  #result: SessionResult | undefined;
  #interruptCount = 0;

  constructor(cli: Cli, options: SessionOptions) {
    this.#cli = cli;
    this.#options = options;
    if (options.tty && options.stdin && !cli.streams.isInputTty) {
      throw invalidOptionError("--tty", "the input device is not a TTY; remove -t");
    }
  }

  /** The server's `started` message. Undefined until it arrives. */
  get started(): ExecStarted | undefined {
    return this.#started;
  }

  /**
   * Opens the stream and waits for its end.
   *
   * @throws ExitStatus if a signal ends the session
   */
  async run(client: ControlClient, start: ExecStart): Promise<SessionResult> {
    const { streams } = this.#cli;
    const { signal } = this.#abort;
    const requests = createRequests({ start, input: this.#input(), signal });
    const { signals } = this.#options;
    const handledSignals = signals === "all" ? FORWARDED_SIGNALS : INTERRUPT_SIGNALS;
    const removeListeners = [
      streams.onSignal(
        (name) => this.#onSignal(name, () => requests.send({ $case: "signal", value: name })),
        handledSignals,
      ),
      streams.onResize(() => {
        const size = streams.size();
        if (this.#hasTty && size !== undefined) requests.send({ $case: "resize", value: size });
      }),
    ];
    try {
      for await (const { output } of client.exec(requests.messages(), { signal })) await this.#apply(output);
      if (this.#result === undefined) throw connectionLostError();
      return this.#result;
    } catch (error) {
      if (this.#result !== undefined) return this.#result;
      throw error;
    } finally {
      streams.setRawMode(false);
      for (const remove of removeListeners) remove();
      this.#abort.abort(new ExitStatus(EXIT_INTERRUPTED));
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
    const input = this.#cli.streams.input(this.#abort.signal);
    if (detachKeys === undefined || !this.#cli.streams.isInputTty) return input;
    return withoutDetachKeys(input, detachKeys, () => {
      if (!this.#hasTty) return;
      this.#result = { kind: "detached" };
      this.#abort.abort(new ExitStatus(0));
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
        this.#result = { kind: "exited", ...message.value };
        return;
      case "outputEnd":
      case undefined:
        return; // A message for another kind of session, or of a newer server.
    }
  }

  #onSignal(name: SignalName, forward: () => void): void {
    if (INTERRUPT_SIGNALS.includes(name)) this.#interruptCount += 1;
    if (this.#interruptCount < MAX_INTERRUPTS && this.#shouldForward()) {
      forward();
    } else if (!USER_SIGNALS.includes(name)) {
      this.#abort.abort(new ExitStatus(EXIT_INTERRUPTED));
    }
  }

  #shouldForward(): boolean {
    if (this.#started === undefined) return false;
    switch (this.#options.signals) {
      case "first":
        return this.#interruptCount === 1;
      case "all":
        return !this.#hasTty;
      case "none":
        return false;
    }
  }
}

function connectionLostError(): BerthError {
  const message = "the server closed the connection before the process exited";
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
