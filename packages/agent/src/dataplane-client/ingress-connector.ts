import { statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BERTH_VERSION, BerthError, commonVersion, PROTOCOL_VERSIONS, protocolRange } from "@berth/proto";
import type { Logger } from "pino";
import { LOG_NAME, SOCKET_NAME } from "../dataplane/control/protocol.js";
import type { IngressUser } from "../dataplane/ingress-privileges.js";
import type { IngressMode } from "../dataplane/kernel/ingress-mode.js";
import {
  ENTRY_PATH,
  type IngressProgram,
  ingressCommand,
  shareDataDir,
  spawnIngress,
} from "../dataplane/spawn-ingress.js";
import { IngressSession } from "./ingress-session.js";
import type { IngressUnit } from "./ingress-unit.js";
import { requestHandover } from "./request-handover.js";

/**
 * Timeout until a started process accepts connections. It takes about 100 ms, and much longer on an overloaded host.
 */
const CONNECT_TIMEOUT_MS = 10_000;
/** Interval between two attempts to connect. */
const POLL_MS = 20;
/** How long a started process has to respond before another one is started. */
const START_GRACE_MS = 2_000;
/** Maximum length of the path of a unix socket in Linux, in bytes. */
const MAX_SOCKET_PATH = 107;

export interface IngressConnectorOptions {
  /** Directory of the control socket and the log. */
  readonly dataDir: string;
  readonly logger: Logger;
  /** Entry point of the process. Defaults to the entry point of this release. */
  readonly entryPath?: string;
  /** Mode of the process. A running process with another mode is replaced. Undefined if any mode is accepted. */
  readonly mode?: IngressMode;
  /**
   * User of the process. A running process of another user is replaced. Undefined if any user is accepted; a new process
   * then runs as the agent's user.
   */
  readonly user?: IngressUser;
  /** The systemd unit that runs the process. Undefined if the agent starts the process itself. */
  readonly unit?: IngressUnit | undefined;
  /** Further arguments for the process. */
  readonly args?: readonly string[];
  /** Release of the agent; a running process of another release is replaced. */
  readonly release?: string;
  /** Whether to start a process when none is running. Defaults to true. */
  readonly launch?: boolean;
}

/** Connects to the ingress process of a data directory, and starts the process when there is none. */
export class IngressConnector {
  readonly #options: IngressConnectorOptions;
  readonly #socketPath: string;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #lastExit = "";

  /** @throws BerthError BERTH_INGRESS_FAILED if the path of the data directory is too long for a socket */
  constructor(options: IngressConnectorOptions) {
    this.#options = options;
    this.#socketPath = join(options.dataDir, SOCKET_NAME);
    if (Buffer.byteLength(this.#socketPath) > MAX_SOCKET_PATH) {
      throw ingressError(
        `socket path ${this.#socketPath} is too long (limit: ${MAX_SOCKET_PATH} bytes); use a shorter data directory`,
      );
    }
  }

  /** How the process that this agent started last has ended, such as `signal SIGKILL` or `exit code 1`. */
  get lastExit(): string {
    return this.#lastExit;
  }

  /**
   * Returns a session with the ingress process. Asks a process of another release or user once to hand over its sockets to
   * a new one; if that fails, the process continues (`isOutdated`). Gracefully shuts down and replaces a process with
   * another protocol or mode.
   *
   * @throws BerthError BERTH_INGRESS_FAILED after 10 s
   */
  async connect(signal: AbortSignal): Promise<IngressSession> {
    let mayHandOver = this.#options.launch !== false;
    const deadlineMs = performance.now() + CONNECT_TIMEOUT_MS;
    let failure: unknown;
    while (performance.now() < deadlineMs) {
      signal.throwIfAborted();
      try {
        const session = await IngressSession.open(this.#socketPath);
        signal.throwIfAborted();
        if (mayHandOver && !this.#isCurrent(session)) {
          mayHandOver = false;
          await this.#requestHandover(session, signal);
        } else if (this.#isCompatible(session)) {
          return session;
        } else {
          await this.#shutDown(session, signal);
        }
      } catch (error) {
        failure = error;
        if (isNotRunning(error) && this.#options.launch !== false) await this.#start(signal);
        await sleep(POLL_MS, undefined, { signal });
      }
    }
    const exit = this.#lastExit === "" ? "" : ` (last exit: ${this.#lastExit})`;
    const { unit, dataDir } = this.#options;
    const log = unit === undefined ? join(dataDir, LOG_NAME) : `journalctl -u ${unit.name}`;
    throw ingressError(`ingress process does not respond on ${this.#socketPath}${exit}; see ${log}`, failure);
  }

  /** Whether a process should hand over to one of this release and user, and has not done so yet. */
  isOutdated(session: IngressSession): boolean {
    return this.#options.launch !== false && !this.#isCurrent(session);
  }

  #isCurrent({ hello }: IngressSession): boolean {
    return hello.release === this.#release && this.#hasUser(hello.processId);
  }

  #isCompatible({ hello }: IngressSession): boolean {
    const { mode = hello.mode } = this.#options;
    const versions = protocolRange(hello.protocol, hello.newestProtocol);
    const isSupported = commonVersion(PROTOCOL_VERSIONS, versions) !== undefined;
    return isSupported && hello.mode === mode;
  }

  #hasUser(processId: number): boolean {
    const { user } = this.#options;
    return user === undefined || userIdOf(processId) === user.uid;
  }

  get #release(): string {
    return this.#options.release ?? BERTH_VERSION;
  }

  #program(mode: string | undefined): IngressProgram {
    const { entryPath = ENTRY_PATH, args = [] } = this.#options;
    return {
      executable: process.execPath,
      entryPath,
      args: [...(mode === undefined ? [] : ["--mode", mode]), ...args, "--release", this.#release],
    };
  }

  /** Makes a process of another release or user hand over its sockets to one of this release and user. */
  async #requestHandover(session: IngressSession, signal: AbortSignal): Promise<void> {
    const { dataDir, logger, mode, user, unit } = this.#options;
    const { processId, release, mode: currentMode } = session.hello;
    const currentUid = userIdOf(processId);
    // This agent would have to start the successor, which would end with the unit of the agent.
    if (unit !== undefined && currentUid !== 0 && user !== undefined && user.uid !== currentUid) {
      return this.#shutDown(session, signal);
    }
    logger.info(
      { processId, release, uid: currentUid },
      "ingress process of another release or user; requesting handover",
    );
    try {
      const program = this.#program(mode ?? currentMode);
      await requestHandover(session, { dataDir, program, user, currentUid });
      // The successor has no control socket for a moment, which must not start another process.
      this.#startedAtMs = performance.now();
      this.#setUnitCommand();
    } catch (error) {
      // The handover may have succeeded anyway: the next connection reaches the process that is serving.
      logger.warn({ err: error, processId }, "handover was not confirmed");
    } finally {
      session.close();
    }
  }

  async #shutDown(session: IngressSession, signal: AbortSignal): Promise<void> {
    const { protocol, processId, mode } = session.hello;
    const { unit, logger } = this.#options;
    logger.info(
      { processId, protocol, mode },
      "shutting down ingress process of another protocol, mode or user",
    );
    try {
      if (unit === undefined) await session.request({ $case: "shutDown", value: {} }, "done");
      // A unit has one main process, so none can start while this one waits for the end of its connections.
      else await this.#startUnit(() => unit.restart(signal));
    } finally {
      session.close();
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#startedAtMs < START_GRACE_MS) return;
    this.#startedAtMs = nowMs;
    const { dataDir, mode, user, unit } = this.#options;
    if (unit !== undefined) return this.#startUnit(() => unit.start(signal));
    const child = spawnIngress(dataDir, this.#program(mode), user);
    const onExit = (reason: string): void => {
      this.#lastExit = reason;
      this.#startedAtMs = Number.NEGATIVE_INFINITY;
    };
    child.once("error", (error) => onExit(error.message));
    child.once("exit", (code, signal) => onExit(signal === null ? `exit code ${code}` : `signal ${signal}`));
    child.unref();
  }

  async #startUnit(start: () => Promise<void>): Promise<void> {
    shareDataDir(this.#options.dataDir, this.#options.user);
    this.#setUnitCommand();
    this.#startedAtMs = performance.now();
    await start();
  }

  /** Makes the unit, if there is one, run a process of this release at its next start. */
  #setUnitCommand(): void {
    const { dataDir, mode, user, unit } = this.#options;
    unit?.setCommand(dataDir, ingressCommand(dataDir, this.#program(mode), user));
  }
}

function userIdOf(processId: number): number {
  return statSync(`/proc/${processId}`).uid;
}

/** Returns whether an error says that no process listens on the control socket. */
export function isNotRunning(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

function ingressError(message: string, cause?: unknown): BerthError {
  return new BerthError({ code: "BERTH_INGRESS_FAILED", message, cause });
}
