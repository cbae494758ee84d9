import { readFileSync } from "node:fs";
import type { Transport } from "./byte-stream.js";
import { Allowance } from "./counters.js";
import { Deadlines } from "./deadlines.js";
import { describeListenerError } from "./listener-error.js";
import {
  type ApplyResult,
  type IngressListener,
  type IngressStats,
  type IngressTable,
  type ListenerError,
  listenerKey,
} from "./table.js";
import { diffTables } from "./table-diff.js";
import { type TcpContext, TcpListener } from "./tcp-listener.js";
import { type UdpContext, UdpListener } from "./udp-listener.js";

/** A port that is taken may be free soon: whoever holds it is stopped, or a drained connection ends. */
const REOPEN_MS = 2_000;
/** Descriptors that are no connection: listeners, the control socket, files. */
const RESERVED_FILES = 512;
const TCP_SHARE = 0.75;
const MAX_UDP_FLOWS = 65_536;
/** What POSIX promises at least, should the limit not be readable. */
const FALLBACK_FILE_LIMIT = 1_024;

type OpenListener = TcpListener | UdpListener;

/** The published ports of this host, kept as the last table says. */
export class Gateway {
  readonly #open = new Map<string, OpenListener>();
  readonly #errors = new Map<string, ListenerError>();
  readonly #tcp: TcpContext;
  readonly #udp: UdpContext;
  readonly #startedMs: number;
  #acceptErrors = 0;
  #table: IngressTable = { version: 0, listeners: [] };
  #invalid: readonly ListenerError[] = [];
  #work: Promise<unknown> = Promise.resolve();
  #reopen: NodeJS.Timeout | undefined;

  constructor(transport: Transport, now: () => number) {
    const files = Math.max(0, openFileLimit() - RESERVED_FILES);
    this.#startedMs = now();
    this.#tcp = {
      transport,
      now,
      deadlines: new Deadlines(now),
      allowance: new Allowance(Math.floor((files * TCP_SHARE) / 2)),
      onAcceptError: () => {
        this.#acceptErrors += 1;
      },
    };
    this.#udp = {
      now,
      maxFlows: MAX_UDP_FLOWS,
      allowance: new Allowance(Math.min(MAX_UDP_FLOWS, Math.floor(files * (1 - TCP_SHARE)))),
    };
  }

  get version(): number {
    return this.#table.version;
  }

  /** TCP connections and UDP flows that are alive, of closed listeners too. */
  get active(): number {
    return this.#tcp.allowance.used + this.#udp.allowance.used;
  }

  /** Makes the listeners be those of the table, one apply after the other. A port that fails harms no other port. */
  apply(table: IngressTable, invalid: readonly ListenerError[] = []): Promise<ApplyResult> {
    const applied = this.#work.then(async () => {
      this.#table = table;
      this.#invalid = invalid;
      await this.#reconcile();
      return { version: table.version, errors: this.#allErrors() };
    });
    this.#work = applied.catch(() => {});
    return applied;
  }

  stats(): IngressStats {
    return {
      version: this.#table.version,
      processId: process.pid,
      uptimeMs: Math.round(this.#tcp.now() - this.#startedMs),
      residentBytes: process.memoryUsage.rss(),
      acceptErrors: this.#acceptErrors,
      errors: this.#allErrors(),
      listeners: [...this.#open.values()].map((listener) => listener.stats()),
    };
  }

  async #reconcile(): Promise<void> {
    clearTimeout(this.#reopen);
    this.#errors.clear();
    const current = new Map([...this.#open].map(([key, opened]) => [key, opened.listener]));
    const diff = diffTables(current, this.#table.listeners);
    for (const key of diff.close) this.#closeListener(key);
    for (const listener of diff.update) this.#open.get(listenerKey(listener))?.update(listener);
    for (const listener of diff.open) await this.#openListener(listener);
    if (this.#errors.size > 0) this.#reopen = setTimeout(() => this.#retry(), REOPEN_MS);
  }

  #retry(): void {
    this.#work = this.#work.then(() => this.#reconcile()).catch(() => {});
  }

  #closeListener(key: string): void {
    this.#open.get(key)?.close();
    this.#open.delete(key);
  }

  async #openListener(listener: IngressListener): Promise<void> {
    const key = listenerKey(listener);
    try {
      const opened =
        listener.protocol === "tcp"
          ? await TcpListener.open(listener, this.#tcp)
          : await UdpListener.open(listener, this.#udp);
      this.#open.set(key, opened);
    } catch (error) {
      this.#errors.set(key, await describeListenerError(listener, error));
    }
  }

  #allErrors(): readonly ListenerError[] {
    return [...this.#invalid, ...this.#errors.values()];
  }
}

/** Node raises the soft limit to the hard one when it starts, so this is all there is. */
function openFileLimit(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return Number(line?.[1] ?? FALLBACK_FILE_LIMIT);
  } catch {
    return FALLBACK_FILE_LIMIT;
  }
}
