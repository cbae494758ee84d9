import { readFile } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { readField, readNumber, readString } from "../../core/docker/json.js";
import { writeChunk } from "../../runtime/write-chunk.js";
import type { EngineStream, ExecOptions, OutputChunk, TerminalSize } from "../engine.js";
import type { EngineClient } from "./client.js";
import { demux, rawOutput } from "./demux.js";
import { resizeTerminal } from "./resize.js";

/** Maximum number of attempts to resize a terminal. A command starts within a second. */
const RESIZE_ATTEMPTS = 100;

/**
 * Delay before the second query of the exit code, which is available shortly after the output ends. It doubles with
 * each query.
 */
const FIRST_POLL_MS = 10;
/** Maximum delay between two queries of the exit code. */
const MAX_POLL_MS = 1_000;

/** Docker's output for a missing program. Before 23.0 Docker reported exit code 126 for it. */
const NO_SUCH_PROGRAM = /^OCI runtime exec failed: .*(?:executable file not found|no such file or directory)/;
/** Exit code of `docker exec` for a command that cannot be executed. */
const CANNOT_RUN = 126;
/** Exit code of `docker exec` for a command that does not exist. */
const NOT_FOUND = 127;

/** A command that Docker has started. */
interface StartedExec {
  readonly id: string;
  readonly containerId: string;
  readonly connection: Duplex;
  readonly options: ExecOptions;
}

/** Runs a command in a container over a hijacked HTTP connection to Docker. */
export class DockerExec implements EngineStream {
  readonly output: AsyncIterable<OutputChunk>;
  readonly #client: EngineClient;
  readonly #id: string;
  readonly #containerId: string;
  readonly #connection: Duplex;
  readonly #signal: AbortSignal;
  #isProgramMissing = false;

  private constructor(client: EngineClient, { id, containerId, connection, options }: StartedExec) {
    this.#client = client;
    this.#id = id;
    this.#containerId = containerId;
    this.#connection = connection;
    this.#signal = options.signal;
    this.output = this.#readOutput(options.tty ? rawOutput(connection) : demux(connection));
  }

  static async start(client: EngineClient, containerId: string, options: ExecOptions): Promise<DockerExec> {
    const id = await createExec(client, containerId, { ...options, isAttached: true });
    const connection = await client.hijack({
      method: "POST",
      path: `/exec/${id}/start`,
      body: { Detach: false, Tty: options.tty, ...consoleSize(options) },
      signal: options.signal,
    });
    return new DockerExec(client, { id, containerId, connection, options });
  }

  write(bytes: Uint8Array): Promise<void> {
    return writeChunk(this.#connection, bytes);
  }

  endInput(): void {
    this.#connection.end();
  }

  resize(size: TerminalSize): Promise<void> {
    return resizeTerminal(this.#client, {
      path: `/exec/${this.#id}/resize`,
      size,
      attempts: RESIZE_ATTEMPTS,
      signal: this.#signal,
      isOpen: () => !this.#connection.destroyed,
    });
  }

  async kill(unixSignal: NodeJS.Signals): Promise<void> {
    const { isRunning, pid } = await this.#inspect(AbortSignal.timeout(MAX_POLL_MS));
    if (isRunning) await signalProcess({ pid, containerId: this.#containerId, unixSignal });
  }

  async exitCode(): Promise<number> {
    for (let waitMs = FIRST_POLL_MS; ; waitMs = Math.min(2 * waitMs, MAX_POLL_MS)) {
      const { isRunning, exitCode } = await this.#inspect(this.#signal);
      if (!isRunning) return exitCode === CANNOT_RUN && this.#isProgramMissing ? NOT_FOUND : exitCode;
      await sleep(waitMs, undefined, { signal: this.#signal });
    }
  }

  /** Yields the output, and notes whether Docker reports a missing program. */
  async *#readOutput(chunks: AsyncIterable<OutputChunk>): AsyncGenerator<OutputChunk> {
    let isFirst = true;
    for await (const chunk of chunks) {
      if (isFirst) this.#isProgramMissing = NO_SUCH_PROGRAM.test(chunk.bytes.toString("latin1"));
      isFirst = false;
      yield chunk;
    }
  }

  async #inspect(signal: AbortSignal): Promise<{ isRunning: boolean; exitCode: number; pid: number }> {
    const json = await this.#client.request({ method: "GET", path: `/exec/${this.#id}/json`, signal });
    return {
      isRunning: readField(json, "Running") === true,
      exitCode: readNumber(readField(json, "ExitCode")),
      pid: readNumber(readField(json, "Pid")),
    };
  }
}

/** Starts a command without a connection. Resolves when it has started. */
export async function startDetached(
  client: EngineClient,
  containerId: string,
  options: ExecOptions,
): Promise<void> {
  const id = await createExec(client, containerId, { ...options, isAttached: false });
  const body = { Detach: true, Tty: options.tty };
  await client.request({ method: "POST", path: `/exec/${id}/start`, body, signal: options.signal });
}

/** Prepares a command, and returns its ID. */
async function createExec(
  client: EngineClient,
  containerId: string,
  options: ExecOptions & { readonly isAttached: boolean },
): Promise<string> {
  const { command, env, user, workingDir, privileged = false, tty, stdin, isAttached, signal } = options;
  const body = {
    Cmd: command,
    Env: env,
    User: user,
    WorkingDir: workingDir,
    Privileged: privileged,
    Tty: tty,
    AttachStdin: stdin && isAttached,
    AttachStdout: isAttached,
    AttachStderr: isAttached,
    ...consoleSize(options),
  };
  const path = `/containers/${encodeURIComponent(containerId)}/exec`;
  return readString(readField(await client.request({ method: "POST", path, body, signal }), "Id"));
}

function consoleSize({ tty, size }: ExecOptions): object {
  return tty && size !== undefined ? { ConsoleSize: [size.rows, size.columns] } : {};
}

interface ProcessSignal {
  /** The process ID that Docker reports. */
  readonly pid: number;
  readonly containerId: string;
  readonly unixSignal: NodeJS.Signals;
}

/**
 * Sends a signal to a process of a container, for which the Engine API has no call. Has no effect unless the process
 * is visible here and belongs to the container: the ID may have been reused, or be of another PID namespace.
 */
async function signalProcess({ pid, containerId, unixSignal }: ProcessSignal): Promise<void> {
  if (pid <= 1) return;
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  if (!groups.includes(containerId)) return;
  try {
    process.kill(pid, unixSignal);
  } catch {
    // The process has ended in the meantime.
  }
}
