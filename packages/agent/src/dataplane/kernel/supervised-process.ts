import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";

const FIRST_RESTART_MS = 1_000;
const LONGEST_RESTART_MS = 5 * 60_000;
/** One that ran for so long can run. */
export const STABLE_AFTER_MS = 10_000;

export type Command = readonly [program: string, ...args: readonly string[]];

export interface SupervisedProcessOptions {
  /** Asked before each start. */
  readonly command: () => Command;
  readonly stdio: StdioOptions;
  /** Its streams are not there where it could not be started for want of files. */
  readonly onStarted: (child: ChildProcess) => void;
  /** It ended, or could not be started. It is started again after a while, ever more rarely. */
  readonly onExited?: (ranMs: number, error: NodeJS.ErrnoException | undefined) => void;
  readonly onRestarted?: () => void;
}

/** A program that runs as long as this process wants it to. */
export class SupervisedProcess {
  readonly #options: SupervisedProcessOptions;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #restartMs = 0;
  #isClosed = false;

  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
    this.#start();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    this.#child?.kill("SIGKILL");
  }

  #start(): void {
    const startedMs = performance.now();
    let failure: NodeJS.ErrnoException | undefined;
    const onEnd = (): void => this.#ended(performance.now() - startedMs, failure);
    try {
      const [program, ...args] = this.#options.command();
      const child = spawn(program, args, { stdio: this.#options.stdio });
      this.#child = child;
      child.on("error", (error) => {
        failure = error;
      });
      child.once("close", onEnd);
      child.stdin?.on("error", () => {});
      this.#options.onStarted(child);
    } catch (error) {
      // Of most failures there is an event; want of memory is thrown.
      failure = error instanceof Error ? error : new Error(String(error));
      setImmediate(onEnd);
    }
  }

  #ended(ranMs: number, failure: NodeJS.ErrnoException | undefined): void {
    if (this.#isClosed) return;
    this.#restartMs = restartDelay(this.#restartMs, ranMs);
    this.#options.onExited?.(ranMs, failure);
    this.#restart = setTimeout(() => {
      this.#start();
      this.#options.onRestarted?.();
    }, this.#restartMs);
  }
}

/** Where it cannot run it is tried ever more rarely. */
export function restartDelay(previousMs: number, ranMs: number): number {
  if (ranMs >= STABLE_AFTER_MS) return FIRST_RESTART_MS;
  return Math.min(LONGEST_RESTART_MS, Math.max(FIRST_RESTART_MS, previousMs * 2));
}
