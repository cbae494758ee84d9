import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";

/** Delay before the first restart. It doubles with each restart. */
const MIN_RESTART_MS = 1_000;
/** Maximum delay before a restart. */
const MAX_RESTART_MS = 5 * 60_000;
/** Uptime after which a process counts as stable: its next restart uses the shortest delay again. */
export const STABLE_AFTER_MS = 10_000;

export type Command = readonly [program: string, ...args: readonly string[]];

export interface SupervisedProcessOptions {
  /** Returns the command line. Called before each start. */
  readonly command: () => Command;
  readonly stdio: StdioOptions;
  /**
   * Called after each start. Streams are missing when the process could not be spawned (EMFILE). An error ends the process
   * like a crash.
   */
  readonly onStarted: (child: ChildProcess) => void;
  /** Called when the process exits or cannot be spawned. A restart follows. */
  readonly onExited?: (ranMs: number, error: NodeJS.ErrnoException | undefined) => void;
  /** Called after each start but the first. */
  readonly onRestarted?: () => void;
}

/** Runs a child process and restarts it with exponential back-off (1 s to 5 min) until `close` is called. */
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
    const onClose = (): void => this.#onExited(performance.now() - startedMs, failure);
    let child: ChildProcess;
    try {
      const [program, ...args] = this.#options.command();
      child = spawn(program, args, { stdio: this.#options.stdio });
    } catch (error) {
      // spawn() emits most failures as an event but throws some, such as ENOMEM.
      failure = toError(error);
      setImmediate(onClose);
      return;
    }
    this.#child = child;
    child.on("error", (error) => {
      failure = error;
    });
    child.once("close", onClose);
    // A child that has exited causes EPIPE. Its "close" event reports the exit.
    child.stdin?.on("error", () => {});
    try {
      this.#options.onStarted(child);
    } catch (error) {
      failure = toError(error);
      child.kill("SIGKILL");
    }
  }

  #onExited(ranMs: number, failure: NodeJS.ErrnoException | undefined): void {
    if (this.#isClosed) return;
    this.#restartMs = restartDelay(this.#restartMs, ranMs);
    this.#options.onExited?.(ranMs, failure);
    this.#restart = setTimeout(() => {
      this.#start();
      this.#options.onRestarted?.();
    }, this.#restartMs);
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Returns the delay before the next restart, in ms. Doubles until the process has run for a while. */
export function restartDelay(previousMs: number, ranMs: number): number {
  if (ranMs >= STABLE_AFTER_MS) return MIN_RESTART_MS;
  return Math.min(MAX_RESTART_MS, Math.max(MIN_RESTART_MS, previousMs * 2));
}
