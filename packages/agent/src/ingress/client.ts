import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { launchIngress } from "./launch.js";
import { Session } from "./session.js";
import type { ApplyResult, IngressStats, IngressTable } from "./table.js";
import { LOG_NAME, PROTOCOL_VERSION, SOCKET_NAME } from "./wire.js";

/** A start takes about 100 ms; on an overloaded host much longer. */
const OPEN_DEADLINE_MS = 10_000;
const POLL_MS = 20;
/** A process that was started and does not answer yet gets this long before another one is started. */
const START_GRACE_MS = 2_000;
/** A process that ran for long is started again at once, one that crashes over and over ever more slowly. */
const FIRST_BACKOFF_MS = 25;
const LONGEST_BACKOFF_MS = 5_000;
/** Linux takes no longer path for a socket. */
const MAX_SOCKET_PATH = 107;

export interface IngressOptions {
  /** Where the control socket and the log live. Created if missing. */
  readonly dataDir: string;
  readonly logger: Logger;
  /** Ends the opening, and later the client, as `close` does. */
  readonly signal: AbortSignal;
  /** The compiled entry of the process; by default the one beside this file. */
  readonly entryPath?: string;
  /** Further arguments for the process. */
  readonly args?: readonly string[];
  /** False: only find a running process, never start one. */
  readonly launch?: boolean;
}

/** The agent's hold on the ingress process. */
export interface Ingress {
  /** Makes the process serve the table. Resolves when it does; a newer apply may have overtaken it by then. */
  apply(table: IngressTable, signal: AbortSignal): Promise<ApplyResult>;
  stats(signal: AbortSignal): Promise<IngressStats>;
  /** Ends the process and every connection through it. */
  stop(signal: AbortSignal): Promise<void>;
  /** Lets go: the process serves on, and the next agent finds it. */
  close(): void;
}

/**
 * Finds the ingress process of a data directory, or starts it. From then on it is watched: when it dies, it is
 * started again and given the last table. Rejects with BERTH_INGRESS_FAILED when it cannot be started within 10 s.
 */
export async function openIngress(options: IngressOptions): Promise<Ingress> {
  const client = new IngressClient(options);
  await client.open();
  return client;
}

class IngressClient implements Ingress {
  readonly #options: IngressOptions;
  readonly #socketPath: string;
  readonly #lifetime = new AbortController();
  #session: Promise<Session>;
  #table: IngressTable | undefined;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #lastExit = "";
  readonly #onAbort = (): void => this.close();

  constructor(options: IngressOptions) {
    this.#options = options;
    this.#socketPath = join(options.dataDir, SOCKET_NAME);
    this.#session = Promise.reject(new Error("not open"));
    this.#session.catch(() => {});
  }

  async open(): Promise<void> {
    const { dataDir, signal } = this.#options;
    if (Buffer.byteLength(this.#socketPath) > MAX_SOCKET_PATH) {
      throw new BerthError({
        code: "BERTH_INGRESS_FAILED",
        message: `the path ${this.#socketPath} is too long for a socket (${MAX_SOCKET_PATH} bytes at most): use a shorter data directory`,
      });
    }
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    signal.addEventListener("abort", this.#onAbort, { once: true });
    signal.throwIfAborted();
    const session = await this.#connect(performance.now() + OPEN_DEADLINE_MS);
    this.#session = Promise.resolve(session);
    void this.#watch(session);
  }

  async apply(table: IngressTable, signal: AbortSignal): Promise<ApplyResult> {
    this.#table = table;
    const reply = await this.#call((session) => {
      // The newest one: after a restart of the process an older apply must not undo it.
      return session.request({ kind: "apply", table: this.#table ?? table });
    }, signal);
    if (reply.kind === "applied") return reply.result;
    throw unexpected(reply.kind);
  }

  async stats(signal: AbortSignal): Promise<IngressStats> {
    const reply = await this.#call((session) => session.request({ kind: "stats" }), signal);
    if (reply.kind === "stats") return reply.stats;
    throw unexpected(reply.kind);
  }

  async stop(signal: AbortSignal): Promise<void> {
    const session = await raceSignal(this.#session, signal);
    this.#leave();
    await raceSignal(
      session.request({ kind: "stop" }).catch(() => undefined),
      signal,
    );
    await raceSignal(session.closed, signal);
    this.#options.logger.info({ processId: session.hello.processId }, "ingress process stopped");
  }

  close(): void {
    this.#leave();
    this.#session.then(
      (session) => session.close(),
      () => {},
    );
  }

  #leave(): void {
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    this.#lifetime.abort();
  }

  /** Once more when the process went away in between: every request may be repeated. */
  async #call<Reply>(send: (session: Session) => Promise<Reply>, signal: AbortSignal): Promise<Reply> {
    const current = this.#session;
    const session = await raceSignal(current, signal);
    try {
      return await raceSignal(send(session), signal);
    } catch (error) {
      await sleep(0);
      if (signal.aborted || this.#lifetime.signal.aborted || this.#session === current) throw error;
      return raceSignal(this.#session.then(send), signal);
    }
  }

  async #watch(first: Session): Promise<void> {
    const { logger } = this.#options;
    let session = first;
    let backoffMs = 0;
    for (;;) {
      const connectedMs = performance.now();
      await session.closed;
      if (this.#lifetime.signal.aborted) return;
      logger.warn(
        { processId: session.hello.processId, reason: this.#lastExit },
        "ingress process lost: starting it again",
      );
      const livedMs = performance.now() - connectedMs;
      backoffMs =
        livedMs > LONGEST_BACKOFF_MS ? FIRST_BACKOFF_MS : Math.min(LONGEST_BACKOFF_MS, backoffMs * 2);
      const next = this.#reconnect(backoffMs);
      this.#session = next;
      next.catch(() => {});
      try {
        session = await next;
      } catch {
        return;
      }
    }
  }

  /** Goes on until there is a process that has the table, or this client is closed. */
  async #reconnect(backoffMs: number): Promise<Session> {
    const { logger } = this.#options;
    for (let waitMs = backoffMs; ; waitMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS + waitMs * 2)) {
      await sleep(waitMs, undefined, { signal: this.#lifetime.signal });
      try {
        const session = await this.#connect(performance.now() + OPEN_DEADLINE_MS);
        await this.#restore(session);
        logger.info(
          { processId: session.hello.processId, version: this.#table?.version },
          "ingress process serves again",
        );
        return session;
      } catch (error) {
        if (this.#lifetime.signal.aborted) throw error;
        logger.error({ err: error }, "ingress process does not come back: trying on");
      }
    }
  }

  async #restore(session: Session): Promise<void> {
    try {
      if (this.#table !== undefined) await session.request({ kind: "apply", table: this.#table });
    } catch (error) {
      session.close();
      throw error;
    }
  }

  async #connect(deadlineMs: number): Promise<Session> {
    let failure: unknown;
    while (performance.now() < deadlineMs) {
      this.#lifetime.signal.throwIfAborted();
      try {
        const session = await Session.open(this.#socketPath);
        if (session.hello.protocol === PROTOCOL_VERSION) return session;
        await this.#retire(session);
      } catch (error) {
        failure = error;
        if (isAbsent(error) && this.#options.launch !== false) this.#launch();
        await sleep(POLL_MS, undefined, { signal: this.#lifetime.signal });
      }
    }
    throw new BerthError({
      code: "BERTH_INGRESS_FAILED",
      message: `the ingress process does not answer on ${this.#socketPath}${this.#lastExit === "" ? "" : ` (last one: ${this.#lastExit})`}; see ${join(this.#options.dataDir, LOG_NAME)}`,
      cause: failure,
    });
  }

  /** A process of another release: its connections live on, its ports go to a new process. */
  async #retire(session: Session): Promise<void> {
    this.#options.logger.info(
      { processId: session.hello.processId, protocol: session.hello.protocol },
      "retiring the ingress process of another release",
    );
    await session.request({ kind: "retire" });
    session.close();
  }

  #launch(): void {
    const nowMs = performance.now();
    if (nowMs - this.#startedAtMs < START_GRACE_MS) return;
    this.#startedAtMs = nowMs;
    this.#lastExit = "";
    launchIngress({
      dataDir: this.#options.dataDir,
      entryPath: this.#options.entryPath,
      args: this.#options.args ?? [],
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

function unexpected(kind: string): BerthError {
  return new BerthError({
    code: "BERTH_INGRESS_FAILED",
    message: `the ingress process answered with ${kind}`,
  });
}

async function raceSignal<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_resolve, reject) => {
        onAbort = () => reject(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
      }),
    ]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}
