/** Where a command writes. Broken pipes are the caller's business, not a command's. */
export interface Terminal {
  write(text: string): void;
  readonly isTty: boolean;
  /** Width in characters; 80 when it is not a terminal. */
  readonly columns: number;
}

/** The standard streams as they are, for a command that hands them to another program. */
export interface StandardStreams {
  readonly isInputTty: boolean;
  /** Standard input as it comes, no faster than it is taken. Ends with it, or when `signal` aborts. Once only. */
  input(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Resolves when there is room for more. */
  write(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
  /** Whether keys come as they are pressed, Ctrl-C among them. Does nothing to what is no terminal. */
  setRaw(isRaw: boolean): void;
  /** Of the terminal; undefined when there is none. */
  size(): { readonly columns: number; readonly rows: number } | undefined;
  /** The returned function ends it. */
  onResize(listener: () => void): () => void;
  /** SIGINT and SIGTERM reach the listener instead of ending the program, until the returned function is called. */
  onSignal(listener: (name: "SIGINT" | "SIGTERM") => void): () => void;
}

/** What a command gets of the world: everything outside of it that it may touch. */
export interface Cli {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder in which the command was given. */
  readonly cwd: string;
  readonly homeDirectory: string;
  readonly readStdin: () => Promise<Uint8Array>;
  readonly streams: StandardStreams;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** The options that every command takes. */
export interface GlobalOptions {
  readonly server?: string;
  readonly output?: OutputFormat;
}

export type OutputFormat = "table" | "json";

/** Ends a command with an exit code of its own, after it has said what there is to say; `cause` is still to be said. */
export class ExitStatus extends Error {
  override readonly name = "ExitStatus";
  readonly exitCode: number;

  constructor(exitCode: number, cause?: unknown) {
    super(`exit code ${exitCode}`, { cause });
    this.exitCode = exitCode;
  }
}

/** Why `Cli.signal` aborts. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}
