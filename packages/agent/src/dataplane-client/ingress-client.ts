import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { DnsConfig, IngressStatusMessage, WaitingClients } from "@berth/proto";
import type { ApplyResult, IngressStats, IngressStatus } from "../dataplane/table/ingress-table.js";
import { raceSignal } from "../runtime/race-signal.js";
import { IngressConnector, type IngressConnectorOptions } from "./ingress-connector.js";
import type { IngressSession } from "./ingress-session.js";
import type { ListenerTable } from "./ingress-table.js";
import { namePortOwners } from "./port-owner.js";
import { TableSender } from "./table-sender.js";

/**
 * Uptime after which a process counts as stable and is restarted at once. A process that exits sooner is restarted with
 * back-off.
 */
const STABLE_AFTER_MS = 5_000;
/** Delay before the first restart of an unstable process. It doubles with each restart. */
const FIRST_BACKOFF_MS = 50;
/** Maximum delay before a restart. */
const LONGEST_BACKOFF_MS = 5_000;
/** Delay before a failed handover is retried. On an overloaded host, a process takes long to start. */
const HANDOVER_RETRY_MS = 60_000;

export interface IngressClientOptions extends IngressConnectorOptions {
  /** Aborts the start, and later closes the client. */
  readonly signal: AbortSignal;
  /** Time until a process that could not hand over is asked again. @default 60 s */
  readonly handoverRetryMs?: number;
}

/** The configuration for a process that restarts before the agent has one from the leader. */
export interface FallbackConfig {
  readonly table: ListenerTable;
  readonly dns: DnsConfig;
}

/** The agent's client of the ingress process of this host. */
export interface IngressClient {
  /** Whether the process was running already, with a newer configuration than the one on the agent's disk. */
  readonly isServing: boolean;
  /** Sets the function that returns the configuration if the process restarts before the first `apply`. */
  setFallback(fallback: () => FallbackConfig): void;
  /** Calls `onReport` soon, and whenever clients begin or cease to wait for a task. Replaces an earlier listener. */
  watchWaitingClients(onReport: (report: WaitingClients) => void): void;
  /** Makes the process serve a table. Resolves when the process serves this table or a newer one. */
  apply(table: ListenerTable, signal: AbortSignal): Promise<ApplyResult>;
  /** Replaces the set of suspect nodes. Their endpoints get no new connections as long as a service has others. */
  setSuspectNodes(nodeIds: readonly string[], signal: AbortSignal): Promise<void>;
  /** Replaces the DNS configuration. Resolves when the process uses it. */
  updateDns(config: DnsConfig, signal: AbortSignal): Promise<void>;
  /** Returns all counters. Reads the kernel's counters, which takes a few milliseconds. */
  stats(signal: AbortSignal): Promise<IngressStats>;
  status(signal: AbortSignal): Promise<IngressStatus>;
  /** Ends the process and all of its connections. */
  stop(signal: AbortSignal): Promise<void>;
  /** Disconnects from the process, which keeps serving until the next agent connects. */
  close(): void;
}

/**
 * Connects to the ingress process of a data directory, and starts the process when there is none. When the process
 * exits, the client starts it again and restores its configuration.
 *
 * @throws BerthError BERTH_INGRESS_FAILED if the process does not respond within 10 s
 */
export async function openIngress(options: IngressClientOptions): Promise<IngressClient> {
  const { dataDir, signal } = options;
  signal.throwIfAborted();
  const connector = new IngressConnector(options);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  return new ReconnectingIngressClient(options, connector, await connector.connect(signal));
}

class ReconnectingIngressClient implements IngressClient {
  readonly #options: IngressClientOptions;
  readonly #connector: IngressConnector;
  readonly #lifetime = new AbortController();
  readonly #onAbort = (): void => this.close();
  readonly isServing: boolean;
  /** Pending while the client reconnects. */
  #session: Promise<IngressSession>;
  #fallback: (() => FallbackConfig) | undefined;
  #table: ListenerTable | undefined;
  #dns: DnsConfig | undefined;
  #suspects: readonly string[] = [];
  #onWaitingClients: ((report: WaitingClients) => void) | undefined;
  readonly #tables = new TableSender();

  constructor(options: IngressClientOptions, connector: IngressConnector, session: IngressSession) {
    this.#options = options;
    this.#connector = connector;
    this.#session = Promise.resolve(session);
    this.isServing = session.hello.version > 0;
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
    void this.#watch(session);
  }

  setFallback(fallback: () => FallbackConfig): void {
    this.#fallback = fallback;
  }

  watchWaitingClients(onReport: (report: WaitingClients) => void): void {
    this.#onWaitingClients = onReport;
    this.#session.then(
      (session) => this.#watchWaitingClients(session),
      () => {},
    );
  }

  async apply(table: ListenerTable, signal: AbortSignal): Promise<ApplyResult> {
    this.#table = table;
    const result = await this.#call((session) => this.#tables.send(session, this.#table ?? table), signal);
    return { ...result, errors: await namePortOwners(result.errors) };
  }

  async setSuspectNodes(nodeIds: readonly string[], signal: AbortSignal): Promise<void> {
    this.#suspects = nodeIds;
    await this.#call((session) => this.#sendSuspects(session), signal);
  }

  async updateDns(config: DnsConfig, signal: AbortSignal): Promise<void> {
    this.#dns = config;
    await this.#call(
      (session) => session.request({ $case: "applyDns", value: this.#dns ?? config }, "done"),
      signal,
    );
  }

  async stats(signal: AbortSignal): Promise<IngressStats> {
    const { status, ...stats } = await this.#call(
      (session) => session.request({ $case: "getStats", value: {} }, "stats"),
      signal,
    );
    return { ...stats, ...(await completeStatus(status)) };
  }

  async status(signal: AbortSignal): Promise<IngressStatus> {
    return completeStatus(
      await this.#call((session) => session.request({ $case: "getStatus", value: {} }, "status"), signal),
    );
  }

  async stop(signal: AbortSignal): Promise<void> {
    const session = await raceSignal(this.#session, signal);
    this.#endLifetime();
    const stopped = session.request({ $case: "stop", value: {} }, "done").catch(() => undefined);
    await raceSignal(stopped, signal);
    await raceSignal(session.closed, signal);
    this.#options.logger.info({ processId: session.hello.processId }, "ingress process stopped");
  }

  close(): void {
    this.#endLifetime();
    this.#session.then(
      (session) => session.close(),
      () => {},
    );
  }

  #endLifetime(): void {
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    this.#lifetime.abort();
  }

  /** Sends a request, and repeats it once if the process exits in the meantime. All requests are idempotent. */
  async #call<Reply>(send: (session: IngressSession) => Promise<Reply>, signal: AbortSignal): Promise<Reply> {
    const current = this.#session;
    const session = await raceSignal(current, signal);
    try {
      return await raceSignal(send(session), signal);
    } catch (error) {
      // Gives `#watch` one turn to notice that the session is closed.
      await sleep(0);
      if (signal.aborted || this.#lifetime.signal.aborted || this.#session === current) throw error;
      return raceSignal(this.#session.then(send), signal);
    }
  }

  async #watch(first: IngressSession): Promise<void> {
    let session = first;
    let backoffMs = 0;
    for (;;) {
      const startedMs = performance.now();
      const cancelRetry = this.#scheduleHandover(session);
      await session.closed;
      cancelRetry();
      if (this.#lifetime.signal.aborted) return;
      this.#options.logger.warn(
        { processId: session.hello.processId },
        "lost connection to ingress process; reconnecting",
      );
      backoffMs = performance.now() - startedMs > STABLE_AFTER_MS ? 0 : longerBackoff(backoffMs);
      const next = this.#reconnect(backoffMs);
      // `#session` may have no reader when the client is closed.
      next.catch(() => {});
      this.#session = next;
      try {
        session = await next;
      } catch {
        return;
      }
    }
  }

  /** Schedules another request to hand over if the first one has failed. Returns a function that cancels the request. */
  #scheduleHandover(session: IngressSession): () => void {
    if (!this.#connector.isOutdated(session)) return () => {};
    const { logger, handoverRetryMs = HANDOVER_RETRY_MS } = this.#options;
    const timer = setTimeout(() => {
      logger.info({ processId: session.hello.processId }, "asking ingress process again to hand over");
      session.close();
    }, handoverRetryMs);
    timer.unref();
    return () => clearTimeout(timer);
  }

  /** Retries until a process has the current configuration. Rejects when the client is closed. */
  async #reconnect(backoffMs: number): Promise<IngressSession> {
    const { logger } = this.#options;
    const { signal } = this.#lifetime;
    for (let waitMs = backoffMs; ; waitMs = longerBackoff(waitMs)) {
      await sleep(waitMs, undefined, { signal });
      try {
        const session = await this.#connector.connect(signal);
        await this.#restore(session);
        void this.#watchWaitingClients(session);
        const { processId } = session.hello;
        const { lastExit } = this.#connector;
        logger.info({ processId, version: this.#table?.version, lastExit }, "reconnected to ingress process");
        return session;
      } catch (error) {
        if (signal.aborted) throw error;
        logger.error({ err: error }, "cannot reconnect to ingress process; retrying");
      }
    }
  }

  /** Sends the current configuration to a process that was restarted. */
  async #restore(session: IngressSession): Promise<void> {
    const fallback = session.hello.version === 0 ? this.#fallback?.() : undefined;
    const table = this.#table ?? fallback?.table;
    const dns = this.#dns ?? fallback?.dns;
    try {
      if (this.#suspects.length > 0) await this.#sendSuspects(session);
      if (table !== undefined) await this.#tables.send(session, table);
      if (dns !== undefined) await session.request({ $case: "applyDns", value: dns }, "done");
    } catch (error) {
      session.close();
      throw error;
    }
  }

  async #watchWaitingClients(session: IngressSession): Promise<void> {
    const onReport = this.#onWaitingClients;
    if (onReport === undefined) return;
    session.onWaitingClients = onReport;
    const request = { $case: "watchWaitingClients", value: {} } as const;
    // A process of the previous release rejects the request.
    onReport(await session.request(request, "waitingClients").catch(() => ({ services: [] })));
  }

  #sendSuspects(session: IngressSession): Promise<unknown> {
    return session.request({ $case: "suspectNodes", value: { nodeIds: [...this.#suspects] } }, "done");
  }
}

async function completeStatus(status: IngressStatusMessage | undefined): Promise<IngressStatus> {
  const { errors = [], dnsProblems = [], fdProblem, path } = status ?? {};
  return {
    errors: await namePortOwners(errors),
    dnsProblems,
    fdProblem,
    path: path ?? { kernel: false, reason: "unknown" },
  };
}

function longerBackoff(backoffMs: number): number {
  return Math.min(LONGEST_BACKOFF_MS, Math.max(FIRST_BACKOFF_MS, backoffMs * 2));
}
