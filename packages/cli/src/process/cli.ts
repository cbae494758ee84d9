/** An output stream of a command. `main` handles broken pipes. */
export interface Terminal {
  /** Writes text with visible control characters, because names and messages may come from untrusted sources. */
  write(text: string): void;
  /** Writes text as it is, for the escape sequences of a live view. */
  writeRaw(text: string): void;
  readonly isTty: boolean;
  /** Width in characters; 80 when the stream is not a terminal. */
  readonly columns: number;
}

/** The standard streams as bytes, and the signals. `berth exec` connects them to the command in a container. */
export interface StandardStreams {
  readonly isInputTty: boolean;
  /** Reads standard input until its end or until `signal` is aborted. Can be called once. */
  input(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Resolves when the stream has room for more. */
  write(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
  /** Switches raw mode, in which each key, including Ctrl-C, is an input byte. No effect without a terminal. */
  setRawMode(isRaw: boolean): void;
  /** Returns the size of the terminal, or undefined without a terminal. */
  size(): { readonly columns: number; readonly rows: number } | undefined;
  /** Returns a function that removes the listener. */
  onResize(listener: () => void): () => void;
  /** Calls the listener for these signals, which then do not end the process. Returns a function that removes it. */
  onSignal(listener: (name: SignalName) => void, names: readonly SignalName[]): () => void;
}

/** The signals that a command can forward to a container. */
export type SignalName = "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGTERM" | "SIGUSR1" | "SIGUSR2";

export interface SecretSource {
  /** File to read; "-" for standard input, which is a prompt on a terminal. */
  readonly file: string;
  /** Text in front of the user's input. */
  readonly prompt: string;
  /** The noun for the secret in errors, such as "passphrase". */
  readonly what: string;
}

/** The environment of a command: everything outside of the CLI that it can access. */
export interface Cli {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Working directory. */
  readonly cwd: string;
  readonly homeDirectory: string;
  /** Path of the socket of a server on this host. */
  readonly serverSocket: string;
  readonly readStdin: () => Promise<Uint8Array>;
  /** Reads a secret of one line. A terminal does not show it. */
  readonly readSecret: (source: SecretSource) => Promise<string>;
  readonly streams: StandardStreams;
  /** Aborted by Ctrl-C, with an `InterruptedError`. */
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** The options of every command. */
export interface GlobalOptions {
  readonly server?: string;
  readonly output?: OutputFormat;
}

export type OutputFormat = "table" | "json";

/** Thrown to end a command with a specific exit code. `cause` is an error that has not been printed yet. */
export class ExitStatus extends Error {
  override readonly name = "ExitStatus";
  readonly exitCode: number;

  constructor(exitCode: number, cause?: unknown) {
    super(`exit code ${exitCode}`, { cause });
    this.exitCode = exitCode;
  }
}

/** Thrown when the user interrupts a command. Its message is printed without the prefix `error:`. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}
