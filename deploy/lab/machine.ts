import type { RunOptions, RunResult } from "./run.js";

/** One machine of a lab: a set of namespaces, or a virtual machine. */
export interface Machine {
  readonly name: string;
  readonly address: string;
  readonly isUp: boolean;
  /** PID of the machine's first process, in the root namespace. Undefined while the machine is down. */
  readonly initPid: number | undefined;

  /** Powers the machine on. Returns once it runs commands. */
  boot(signal?: AbortSignal): Promise<void>;

  /** Cuts the power. No FIN or RST reaches other machines. */
  powerOff(): Promise<void>;

  /** Pulls the network cable. The machine keeps running, and still runs commands. */
  unplug(): Promise<void>;
  plug(): Promise<void>;
  isPlugged(): Promise<boolean>;

  /** Returns whether a file exists on the machine. */
  exists(path: string): Promise<boolean>;

  /** Runs a program on the machine. A non-zero exit code does not throw. */
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult>;

  /** Returns the command line that runs `argv` on the machine. For programs that need the terminal. */
  commandInside(argv: readonly string[]): string[];
}
