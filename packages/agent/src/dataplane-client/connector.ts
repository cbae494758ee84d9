import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BERTH_VERSION, BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { LOG_NAME, PROTOCOL_VERSION, SOCKET_NAME } from "../dataplane/control/wire.js";
import type { IngressMode } from "../dataplane/kernel/ingress-mode.js";
import { OWN_ENTRY, startIngressProcess } from "../dataplane/spawn.js";
import { Session } from "./session.js";

/** A start takes about 100 ms; on an overloaded host much longer. */
const CONNECT_DEADLINE_MS = 10_000;
const POLL_MS = 20;
/** A process that was started and does not answer yet gets this long before another one is started. */
const START_GRACE_MS = 2_000;
/** Linux takes no longer path for a socket. */
const MAX_SOCKET_PATH = 107;

export interface ConnectorOptions {
  /** Where the control socket and the log live. */
  readonly dataDir: string;
  readonly logger: Logger;
  /** The compiled entry of the process; by default the one beside this file. */
  readonly entryPath?: string;
  /** Who shall balance. A process that was started with another mode is replaced. Absent: any. */
  readonly mode?: IngressMode;
  /** Further arguments for the process. */
  readonly args?: readonly string[];
  /** Of the agent; a process of another one is replaced. */
  readonly release?: string;
  /** False: only find a running process, never start one. */
  readonly launch?: boolean;
}

/** Finds the ingress process of a data directory, and starts one when there is none. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #socketPath: string;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #lastExit = "";

  /** Throws BERTH_INGRESS_FAILED when the data directory's path is too long for a socket. */
  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#socketPath = join(options.dataDir, SOCKET_NAME);
    if (Buffer.byteLength(this.#socketPath) > MAX_SOCKET_PATH) {
      throw failed(
        `the path ${this.#socketPath} is too long for a socket (${MAX_SOCKET_PATH} bytes at most): use a shorter data directory`,
      );
    }
  }

  /** How the process that we started ended, if it did: `signal SIGKILL`, `exit code 1`. */
  get lastExit(): string {
    return this.#lastExit;
  }

  /** A session with a process of our protocol. Rejects with BERTH_INGRESS_FAILED after 10 s, or as the signal says. */
  async connect(signal: AbortSignal): Promise<Session> {
    let mayReplace = this.#options.launch !== false;
    const deadlineMs = performance.now() + CONNECT_DEADLINE_MS;
    let failure: unknown;
    while (performance.now() < deadlineMs) {
      signal.throwIfAborted();
      try {
        const session = await Session.open(this.#socketPath);
        const { release } = session.hello;
        const isRight = this.#isRight(session) && !signal.aborted;
        if (isRight && (release === this.#release || release === undefined || !mayReplace)) return session;
        if (release !== undefined && mayReplace && !signal.aborted) {
          mayReplace = false;
          await this.#replace(session);
          continue;
        }
        await this.#dismiss(session);
      } catch (error) {
        failure = error;
        if (isAbsent(error) && this.#options.launch !== false) this.#launch();
        await sleep(POLL_MS, undefined, { signal });
      }
    }
    const last = this.#lastExit === "" ? "" : ` (last one: ${this.#lastExit})`;
    throw failed(
      `the ingress process does not answer on ${this.#socketPath}${last}; see ${join(this.#options.dataDir, LOG_NAME)}`,
      failure,
    );
  }

  #isRight({ hello }: Session): boolean {
    const { mode = hello.mode } = this.#options;
    return hello.protocol === PROTOCOL_VERSION && hello.mode === mode;
  }

  get #release(): string {
    return this.#options.release ?? BERTH_VERSION;
  }

  #args(mode = this.#options.mode): readonly string[] {
    const { args = [] } = this.#options;
    return [...(mode === undefined ? [] : ["--mode", mode]), ...args, "--release", this.#release];
  }

  /** Has a process of another release start one of ours and give it its sockets: nobody is refused. */
  async #replace(session: Session): Promise<void> {
    const { logger, entryPath } = this.#options;
    const { processId, release } = session.hello;
    const { mode = session.hello.mode } = this.#options;
    logger.info({ processId, release }, "the ingress process of another release is to hand over");
    const program = { exec: process.execPath, entry: entryPath ?? OWN_ENTRY, args: this.#args(mode) };
    try {
      await session.request({ kind: "hand-over", program });
      // For a moment nobody answers at the socket: that is no reason to start another one.
      this.#startedAtMs = performance.now();
    } catch (error) {
      // It may have, and be gone before its answer was: then another one answers at the socket.
      logger.warn({ err: error, processId }, "the ingress process did not say that it has handed over");
    } finally {
      session.close();
    }
  }

  /** Takes leave. A process of another release is retired: its connections live on, its ports go to a new process. */
  async #dismiss(session: Session): Promise<void> {
    const { protocol, processId, mode } = session.hello;
    if (!this.#isRight(session)) {
      this.#options.logger.info(
        { processId, protocol, mode },
        "retiring the ingress process of another release or mode",
      );
      await session.request({ kind: "retire" });
    }
    session.close();
  }

  #launch(): void {
    const nowMs = performance.now();
    if (nowMs - this.#startedAtMs < START_GRACE_MS) return;
    this.#startedAtMs = nowMs;
    startIngressProcess({
      dataDir: this.#options.dataDir,
      entryPath: this.#options.entryPath,
      args: this.#args(),
      onExit: (reason) => {
        this.#lastExit = reason;
        this.#startedAtMs = Number.NEGATIVE_INFINITY;
      },
    });
  }
}

function isAbsent(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

function failed(message: string, cause?: unknown): BerthError {
  return new BerthError({ code: "BERTH_INGRESS_FAILED", message, cause });
}
