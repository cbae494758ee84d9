import { readFileSync } from "node:fs";
import type { HandoverState, UdpFlowHandle } from "../handover/state.js";
import {
  type ApplyResult,
  type IngressListener,
  type IngressStats,
  type IngressStatus,
  type IngressTable,
  type ListenerError,
  type ListenerStats,
  listenerKey,
} from "../table/ingress-table.js";
import { type TableDelta, withDelta } from "../table/table-delta.js";
import { diffTables } from "../table/table-diff.js";
import { discard } from "../transport/node-handles.js";
import type { Transport } from "../transport/transport.js";
import { Admission } from "./admission.js";
import { Quota } from "./counters.js";
import { Deadlines } from "./deadlines.js";
import { FdExhaustion } from "./fd-exhaustion.js";
import { type FileBudget, fileBudget, MAX_UDP_FLOWS } from "./fd-limits.js";
import { describeListenerError } from "./listener-error.js";
import { isLocalFailure } from "./local-failure.js";
import { type TcpContext, TcpListener } from "./tcp-listener.js";
import { type InheritedPort, type UdpContext, UdpListener } from "./udp-listener.js";

/** A port that is taken may be free soon: whoever holds it is stopped, or a drained connection ends. */
const REOPEN_MS = 2_000;
/** What POSIX promises at least, should the limit not be readable. */
const FALLBACK_FILE_LIMIT = 1_024;

type OpenListener = TcpListener | UdpListener;

/** Balances new connections instead of us, to the ports that we hold. */
export interface KernelBalancer {
  /** Resolves when nothing goes any more to endpoints that are not in these listeners. */
  apply(listeners: Iterable<IngressListener>): Promise<void>;
  suspect(nodes: ReadonlySet<string>): Promise<void>;
  /** Its own part is added to what we have counted. */
  addStatistics(stats: readonly ListenerStats[]): Promise<readonly ListenerStats[]>;
}

export interface GatewayOptions {
  readonly transport: Transport;
  readonly now: () => number;
  readonly fastPath?: KernelBalancer;
  /** Sockets that are open already, by listener, and their flows. */
  readonly inherited?: Pick<HandoverState, "sockets" | "flows"> | undefined;
  /** Connections had to wait for want of file descriptors: what is short, and what to do. Once a minute at most. */
  readonly onShortage?: (problem: string) => void;
}

/** The published ports of this host, kept as the last table says. */
export class Gateway {
  readonly #open = new Map<string, OpenListener>();
  readonly #errors = new Map<string, ListenerError>();
  readonly #tcp: TcpContext;
  readonly #udp: UdpContext;
  readonly #shortage: FdExhaustion;
  readonly #startedMs: number;
  #acceptErrors = 0;
  #suspects: ReadonlySet<string> = new Set();
  #table: IngressTable = { version: 0, listeners: [] };
  #invalid: readonly ListenerError[] = [];
  #work: Promise<unknown> = Promise.resolve();
  #reopen: NodeJS.Timeout | undefined;
  readonly #fastPath: KernelBalancer | undefined;
  readonly #inherited: Map<string, InheritedPort>;

  constructor({ transport, now, fastPath, inherited, onShortage = () => {} }: GatewayOptions) {
    this.#inherited = inherited === undefined ? new Map() : byListener(inherited);
    this.#fastPath = fastPath;
    this.#startedMs = now();
    const limit = openFileLimit();
    const budget = (): FileBudget => fileBudget(limit, this.#open.size);
    const shortage = new FdExhaustion(now, onShortage);
    this.#shortage = shortage;
    const isSuspect = (node: string | undefined): boolean => node !== undefined && this.#suspects.has(node);
    const deadlines = new Deadlines(now);
    const admission = new Admission({
      served: new Quota(() => budget().connections),
      waiting: new Quota(() => budget().waiting),
      deadlines,
      now,
      onShortage: () => shortage.full(budget().connections, limit),
    });
    const onAcceptError = (code: string): void => {
      this.#acceptErrors += 1;
      if (isLocalFailure(code)) shortage.failed(code);
    };
    this.#tcp = { transport, now, isSuspect, deadlines, admission, onAcceptError };
    const flows = new Quota(() => budget().flows);
    this.#udp = { now, isSuspect, maxFlows: MAX_UDP_FLOWS, allowance: flows };
  }

  get version(): number {
    return this.#table.version;
  }

  /** What another process needs to go on in place of this one, but for the flows. */
  get handoverState(): Pick<HandoverState, "table" | "suspects" | "sockets"> {
    const sockets = new Map<string, unknown>();
    for (const [key, { handle }] of this.#open) if (handle !== undefined) sockets.set(key, handle);
    return { table: this.#table, suspects: [...this.#suspects], sockets };
  }

  *flows(): Generator<UdpFlowHandle> {
    for (const listener of this.#datagramPorts()) yield* listener.flows();
  }

  /** Datagrams wait in the kernel until `resume`, or until another process takes them. */
  pause(): void {
    for (const listener of this.#datagramPorts()) listener.pause();
  }

  resume(): void {
    for (const listener of this.#datagramPorts()) listener.resume();
  }

  /** Reads from inherited ports from now on. @param flows that have begun since the others were inherited */
  resumeWith(flows: readonly UdpFlowHandle[]): void {
    for (const flow of flows) {
      const listener = this.#open.get(flow.record.listener);
      if (listener instanceof UdpListener) listener.restore(flow);
      else discard(flow.handle);
    }
    this.resume();
  }

  /** TCP connections and UDP flows that are alive, of closed listeners too. */
  get active(): number {
    return this.#tcp.admission.used + this.#udp.allowance.used;
  }

  /** Makes the listeners be those of the table, one apply after the other. A port that fails harms no other port. */
  apply(table: IngressTable, invalid: readonly ListenerError[] = []): Promise<ApplyResult> {
    return this.#serve(() => table, invalid);
  }

  /**
   * The same for what differs from a table. Rejects when that is not the one that serves. Invalid listeners are those
   * of the change: older ones were told of.
   */
  change(delta: TableDelta, invalid: readonly ListenerError[] = []): Promise<ApplyResult> {
    return this.#serve(() => withDelta(this.#table, delta), invalid);
  }

  /** Endpoints on these nodes get no new connections where there are others. Resolves when that is so. */
  async suspect(nodes: readonly string[]): Promise<void> {
    const fresh = new Set(nodes.filter((node) => !this.#suspects.has(node)));
    this.#suspects = new Set(nodes);
    if (fresh.size > 0) for (const listener of this.#open.values()) listener.suspected(fresh);
    await this.#fastPath?.suspect(this.#suspects);
  }

  /** What is wrong, at no cost. */
  get errors(): readonly ListenerError[] {
    return this.#allErrors();
  }

  /** What is short, for a person. */
  get shortage(): string | undefined {
    return this.#shortage.problem;
  }

  async stats(): Promise<Omit<IngressStats, keyof IngressStatus | "vips">> {
    const listeners = [...this.#open.values()].map((listener) => listener.stats());
    return {
      version: this.#table.version,
      processId: process.pid,
      uptimeMs: Math.round(this.#tcp.now() - this.#startedMs),
      residentBytes: process.memoryUsage.rss(),
      acceptErrors: this.#acceptErrors,
      listeners: (await this.#fastPath?.addStatistics(listeners)) ?? listeners,
    };
  }

  #serve(next: () => IngressTable, invalid: readonly ListenerError[]): Promise<ApplyResult> {
    const served = this.#work.then(async () => {
      const table = next();
      this.#table = table;
      this.#invalid = invalid;
      await this.#reconcile();
      return { version: table.version, errors: this.#allErrors() };
    });
    this.#work = served.catch(() => {});
    return served;
  }

  async #reconcile(): Promise<void> {
    clearTimeout(this.#reopen);
    this.#errors.clear();
    const current = new Map([...this.#open].map(([key, opened]) => [key, opened.listener]));
    const diff = diffTables(current, this.#table.listeners);
    for (const key of diff.close) this.#closeListener(key);
    for (const listener of diff.update) this.#open.get(listenerKey(listener))?.update(listener);
    for (const listener of diff.open) await this.#openListener(listener);
    await this.#fastPath?.apply([...this.#open.values()].map(({ listener }) => listener));
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
      const inherited = this.#takeInherited(key);
      const opened =
        listener.protocol === "tcp"
          ? await TcpListener.open(listener, this.#tcp, inherited.socket)
          : await UdpListener.open(listener, this.#udp, inherited);
      this.#open.set(key, opened);
    } catch (error) {
      this.#errors.set(key, await describeListenerError(listener, error));
    }
  }

  /** A port that is closed and opened again later is bound anew. */
  #takeInherited(key: string): InheritedPort {
    const port = this.#inherited.get(key);
    this.#inherited.delete(key);
    return port ?? { socket: undefined, flows: [] };
  }

  #datagramPorts(): readonly UdpListener[] {
    return [...this.#open.values()].filter((listener) => listener instanceof UdpListener);
  }

  #allErrors(): readonly ListenerError[] {
    return [...this.#invalid, ...this.#errors.values()];
  }
}

function byListener({
  sockets,
  flows,
}: Pick<HandoverState, "sockets" | "flows">): Map<string, InheritedPort> {
  const ports = new Map([...sockets].map(([key, socket]) => [key, { socket, flows: [] as UdpFlowHandle[] }]));
  for (const flow of flows) {
    const port = ports.get(flow.record.listener);
    if (port === undefined) discard(flow.handle);
    else port.flows.push(flow);
  }
  return ports;
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
