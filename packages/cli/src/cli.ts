/** Where a command writes. Broken pipes are the caller's business, not a command's. */
export interface Terminal {
  write(text: string): void;
  readonly isTty: boolean;
  /** Width in characters; 80 when it is not a terminal. */
  readonly columns: number;
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

/** Why `Cli.signal` aborts. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}
