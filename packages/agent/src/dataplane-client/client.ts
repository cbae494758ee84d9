import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import type { IngressReply } from "../dataplane/control/wire.js";
import type { DnsTable } from "../dataplane/dns/dns-table.js";
import type {
  ApplyResult,
  IngressStats,
  IngressStatus,
  IngressTable,
} from "../dataplane/table/ingress-table.js";
import { deltaOf } from "../dataplane/table/table-delta.js";
import { raceSignal } from "../runtime/race-signal.js";
import { Connector, type ConnectorOptions } from "./connector.js";
import type { Session } from "./session.js";

/** A process that ran for this long is started again at once, one that crashes over and over ever more slowly. */
const STABLE_MS = 5_000;
const FIRST_BACKOFF_MS = 50;
const LONGEST_BACKOFF_MS = 5_000;

export interface IngressOptions extends ConnectorOptions {
  /** Ends the opening, and later the client, as `close` does. */
  readonly signal: AbortSignal;
}

/** What a process is given before anybody has said better. */
export interface FallbackTables {
  readonly table: IngressTable;
  readonly names: DnsTable;
}

/** The agent's hold on the ingress process. */
export interface Ingress {
  /** The process was found, and serves what an agent before this one has brought it: that is newer than what is on disk. */
  readonly isServing: boolean;
  /** For a process that has to be started before there is a table: `lastKnown` is asked then. */
  setFallback(lastKnown: () => FallbackTables): void;
  /** Makes the process serve the table. Resolves when it does; a newer apply may have overtaken it by then. */
  apply(table: IngressTable, signal: AbortSignal): Promise<ApplyResult>;
  /** Endpoints on these nodes get no new connections where there are others; all of them, each time. */
  suspect(nodes: readonly string[], signal: AbortSignal): Promise<void>;
  /** Makes the process answer these names to the containers of this host. Resolves when it does. */
  updateDns(table: DnsTable, signal: AbortSignal): Promise<void>;
  /** With what the kernel counts, which takes some milliseconds. */
  stats(signal: AbortSignal): Promise<IngressStats>;
  status(signal: AbortSignal): Promise<IngressStatus>;
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
  const { dataDir, signal } = options;
  signal.throwIfAborted();
  const connector = new Connector(options);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  return new IngressClient(options, connector, await connector.connect(signal));
}

class IngressClient implements Ingress {
  readonly #options: IngressOptions;
  readonly #connector: Connector;
  readonly #lifetime = new AbortController();
  readonly #onAbort = (): void => this.close();
  readonly isServing: boolean;
  #session: Promise<Session>;
  #lastKnown: (() => FallbackTables) | undefined;
  #table: IngressTable | undefined;
  #suspects: readonly string[] = [];
  #names: DnsTable | undefined;
  /** The table that a process serves, so that only what differs has to be said. */
  readonly #served = new WeakMap<Session, IngressTable>();

  constructor(options: IngressOptions, connector: Connector, session: Session) {
    this.#options = options;
    this.#connector = connector;
    this.#session = Promise.resolve(session);
    this.isServing = session.hello.version > 0;
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
    void this.#watch(session);
  }

  setFallback(lastKnown: () => FallbackTables): void {
    this.#lastKnown = lastKnown;
  }

  async apply(table: IngressTable, signal: AbortSignal): Promise<ApplyResult> {
    this.#table = table;
    const reply = await this.#call((session) => {
      // The newest one: after a restart of the process an older apply must not undo it.
      return this.#send(session, this.#table ?? table);
    }, signal);
    if (reply.kind === "applied") return reply.result;
    throw unexpected(reply.kind);
  }

  async suspect(nodes: readonly string[], signal: AbortSignal): Promise<void> {
    this.#suspects = nodes;
    await this.#call((session) => session.request({ kind: "suspect", nodes: this.#suspects }), signal);
  }

  async updateDns(table: DnsTable, signal: AbortSignal): Promise<void> {
    this.#names = table;
    await this.#call((session) => session.request({ kind: "names", names: this.#names ?? table }), signal);
  }

  async stats(signal: AbortSignal): Promise<IngressStats> {
    const reply = await this.#call((session) => session.request({ kind: "stats" }), signal);
    if (reply.kind === "stats") return reply.stats;
    throw unexpected(reply.kind);
  }

  async status(signal: AbortSignal): Promise<IngressStatus> {
    const reply = await this.#call((session) => session.request({ kind: "condition" }), signal);
    if (reply.kind === "condition") return reply.condition;
    throw unexpected(reply.kind);
  }

  async stop(signal: AbortSignal): Promise<void> {
    const session = await raceSignal(this.#session, signal);
    this.#leave();
    const asked = session.request({ kind: "stop" }).catch(() => undefined);
    await raceSignal(asked, signal);
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
      // One turn of the loop, for the watch to notice that the session is gone.
      await sleep(0);
      if (signal.aborted || this.#lifetime.signal.aborted || this.#session === current) throw error;
      return raceSignal(this.#session.then(send), signal);
    }
  }

  async #watch(first: Session): Promise<void> {
    let session = first;
    let backoffMs = 0;
    for (;;) {
      const sinceMs = performance.now();
      await session.closed;
      if (this.#lifetime.signal.aborted) return;
      this.#options.logger.warn(
        { processId: session.hello.processId },
        "lost the ingress process: looking for it, or starting it again",
      );
      backoffMs = performance.now() - sinceMs > STABLE_MS ? 0 : longerBackoff(backoffMs);
      const next = this.#reconnect(backoffMs);
      next.catch(() => {});
      this.#session = next;
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
    const { signal } = this.#lifetime;
    for (let waitMs = backoffMs; ; waitMs = longerBackoff(waitMs)) {
      await sleep(waitMs, undefined, { signal });
      try {
        const session = await this.#connector.connect(signal);
        await this.#restore(session);
        const { processId } = session.hello;
        const reason = this.#connector.lastExit;
        logger.info({ processId, version: this.#table?.version, reason }, "ingress process serves again");
        return session;
      } catch (error) {
        if (signal.aborted) throw error;
        logger.error({ err: error }, "ingress process does not come back: trying on");
      }
    }
  }

  async #send(session: Session, table: IngressTable): Promise<IngressReply> {
    const served = this.#served.get(session);
    this.#served.delete(session);
    // Refused when somebody else has given it another table meanwhile.
    const changed =
      served && (await session.request({ kind: "change", ...deltaOf(served, table) }).catch(() => undefined));
    const reply = changed ?? (await session.request({ kind: "apply", table }));
    this.#served.set(session, table);
    return reply;
  }

  async #restore(session: Session): Promise<void> {
    const fallback = session.hello.version === 0 ? this.#lastKnown?.() : undefined;
    const { table = fallback?.table, names = fallback?.names } = { table: this.#table, names: this.#names };
    try {
      if (this.#suspects.length > 0) await session.request({ kind: "suspect", nodes: this.#suspects });
      if (table !== undefined) await this.#send(session, table);
      if (names !== undefined) await session.request({ kind: "names", names });
    } catch (error) {
      session.close();
      throw error;
    }
  }
}

function longerBackoff(backoffMs: number): number {
  return Math.min(LONGEST_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, backoffMs * 2));
}

function unexpected(kind: string): BerthError {
  return new BerthError({
    code: "BERTH_INGRESS_FAILED",
    message: `the ingress process answered with ${kind}`,
  });
}
