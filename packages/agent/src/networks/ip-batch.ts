import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import { withDeadline } from "../runtime/with-deadline.js";

/** Timeout of a query. A listing takes milliseconds, even of thousands of devices. */
const QUERY_TIMEOUT_MS = 5_000;
/** Time without a query after which the process ends. It uses about 3 MB. */
const IDLE_MS = 60_000;
/** Maximum length of invalid output that an error quotes. */
const MAX_QUOTED_LENGTH = 200;
/** Reads commands from standard input. With -force, it continues after a command that fails. */
const BATCH_ARGUMENTS = ["-json", "-details", "-force", "-batch", "-"] as const;

/** The running process, and the query that waits for its next line. */
interface RunningBatch {
  readonly child: ChildProcess;
  onLine: (line: string) => void;
  onEnd: (error: Error) => void;
}

export interface IpBatchOptions {
  /** Returns the program to run instead of `ip`, and the arguments that precede those of the batch. Called at each start. */
  readonly command?: () => readonly [program: string, ...args: readonly string[]];
}

/**
 * Runs `ip` commands in one process. Starting a process for each command costs several milliseconds of CPU time, mostly
 * for copying the agent's large address space. The process starts with the first command, and ends when it is idle.
 */
export class IpBatch {
  readonly #command: NonNullable<IpBatchOptions["command"]>;
  #running: RunningBatch | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  /** Settles when all earlier queries have ended. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor({ command = () => ["ip"] }: IpBatchOptions = {}) {
    this.#command = command;
  }

  /** Runs commands that print nothing. Failures are ignored; a later query shows whether the commands took effect. */
  send(commands: readonly string[]): void {
    write(this.#start(), commands);
  }

  /**
   * Runs a command that lists something, and returns the list.
   *
   * @throws Error if `ip` cannot be run, ends, or prints no JSON within 5 s, as for a command that it rejects
   */
  query(command: string, signal: AbortSignal): Promise<unknown> {
    const result = this.#queue.then(() => this.#query(command, signal));
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Ends the process. The next command starts another one. */
  close(): void {
    clearTimeout(this.#idleTimer);
    this.#running?.child.kill("SIGKILL");
    this.#running = undefined;
  }

  async #query(command: string, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    const running = this.#start();
    const onTimeout = (): Error =>
      new Error(`ip ${command}: no response within ${QUERY_TIMEOUT_MS / 1_000} s`);
    try {
      const line = await withDeadline({ timeoutMs: QUERY_TIMEOUT_MS, signal, onTimeout }, () => {
        return new Promise<string>((resolve, reject) => {
          running.onLine = resolve;
          running.onEnd = reject;
          write(running, [command]);
        });
      });
      return parseListing(command, line);
    } catch (error) {
      // Later output of this process may belong to this query.
      this.close();
      throw error;
    }
  }

  #start(): RunningBatch {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.close(), IDLE_MS).unref();
    this.#running ??= this.#spawn();
    return this.#running;
  }

  #spawn(): RunningBatch {
    const [program, ...args] = this.#command();
    const child: ChildProcess = spawn(program, [...args, ...BATCH_ARGUMENTS], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const running: RunningBatch = { child, onLine: () => {}, onEnd: () => {} };
    const onEnd = (error: Error): void => {
      if (this.#running === running) this.close();
      running.onEnd(error);
    };
    child.on("error", (error: NodeJS.ErrnoException) =>
      onEnd(error.code === "ENOENT" ? new Error(`${program} is not installed`) : error),
    );
    child.once("close", () => onEnd(new Error(`${program} -batch has ended`)));
    // Streams are missing when the process could not be spawned (EMFILE).
    child.stdin?.on("error", () => {});
    if (child.stdout) createInterface({ input: child.stdout }).on("line", (line) => running.onLine(line));
    // The child exits with the agent, because its standard input is closed then.
    child.unref();
    for (const stream of [child.stdin, child.stdout]) {
      if (stream instanceof Socket) stream.unref();
    }
    return running;
  }
}

function parseListing(command: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new Error(`ip ${command}: the output is not JSON: ${line.slice(0, MAX_QUOTED_LENGTH)}`, { cause });
  }
}

function write({ child }: RunningBatch, commands: readonly string[]): void {
  child.stdin?.write(commands.map((command) => `${command}\n`).join(""));
}
