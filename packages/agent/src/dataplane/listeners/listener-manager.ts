import { assertNever } from "@berth/proto";
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
import { applyChange, diffListeners, type TableChange } from "../table/table-changes.js";
import { closeHandle } from "../transport/socket-handles.js";
import type { Transport } from "../transport/transport.js";
import { DeadlineTimer } from "./deadline-timer.js";
import { MAX_UDP_FLOWS } from "./fd-limits.js";
import { type InheritedPort, InheritedPorts } from "./inherited-ports.js";
import { describeListenerError } from "./listener-error.js";
import { ListenerLimits } from "./listener-limits.js";
import { type TcpContext, TcpListener } from "./tcp-listener.js";
import { type UdpContext, UdpListener } from "./udp-listener.js";
import type { HeldClients } from "./waiting-clients.js";

/** Delay before a port that could not be opened is retried: the program that holds it may have exited meanwhile. */
const RETRY_MS = 2_000;

type OpenListener = TcpListener | UdpListener;

/** Balances new connections to open listeners in the kernel, before they reach this process. */
export interface KernelBalancer {
  /** Resolves when the kernel sends no new connection to an endpoint that is not in these listeners. */
  apply(listeners: Iterable<IngressListener>): Promise<void>;
  setSuspectNodes(nodes: ReadonlySet<string>): Promise<void>;
  /** Returns the sum of these counters and the kernel's. */
  addStatistics(stats: readonly ListenerStats[]): Promise<readonly ListenerStats[]>;
}

export interface ListenerManagerOptions {
  readonly transport: Transport;
  readonly now: () => number;
  /** Open sockets and their flows from another process. */
  readonly inherited?: Pick<HandoverState, "sockets" | "flows"> | undefined;
  /** Called once a minute at most while connections wait for file descriptors. */
  readonly onFdProblem?: (problem: string) => void;
  /** Called when a retry failed. Another one follows. */
  readonly onRetryFailed?: (error: unknown) => void;
  /** Called when a client begins or ceases to wait for an endpoint. */
  readonly onHeldChange?: () => void;
}

/** Opens, updates and closes the published ports of this host according to the ingress table. */
export class ListenerManager {
  readonly #open = new Map<string, OpenListener>();
  /** Errors of the listeners that are not open. Replaced when all of them have been tried again. */
  #errors: readonly ListenerError[] = [];
  readonly #inherited: InheritedPorts;
  readonly #tcp: TcpContext;
  readonly #udp: UdpContext;
  readonly #limits: ListenerLimits;
  readonly #startedMs: number;
  #suspects: ReadonlySet<string> = new Set();
  #table: IngressTable = { version: 0, listeners: [] };
  #invalid: readonly ListenerError[] = [];
  #kernel: KernelBalancer | undefined;
  /** Resolves when all previous changes of the listeners have been applied. */
  #work: Promise<unknown> = Promise.resolve();
  #retryTimer: NodeJS.Timeout | undefined;
  readonly #onRetryFailed: (error: unknown) => void;

  constructor({
    transport,
    now,
    inherited,
    onFdProblem,
    onRetryFailed,
    onHeldChange = () => {},
  }: ListenerManagerOptions) {
    this.#onRetryFailed = onRetryFailed ?? (() => {});
    this.#inherited = new InheritedPorts(inherited ?? { sockets: new Map(), flows: [] });
    this.#startedMs = now();
    const deadlines = new DeadlineTimer(now);
    const limits = new ListenerLimits({
      deadlines,
      now,
      onFdProblem: onFdProblem ?? (() => {}),
      countListeners: () => this.#open.size,
    });
    this.#limits = limits;
    const isSuspect = (node: string | undefined): boolean => node !== undefined && this.#suspects.has(node);
    const onAcceptError = (code: string): void => limits.recordAcceptError(code);
    const { admission, heldClients } = limits;
    this.#tcp = { transport, now, isSuspect, deadlines, admission, heldClients, onAcceptError, onHeldChange };
    this.#udp = { now, isSuspect, maxFlows: MAX_UDP_FLOWS, quota: limits.udpFlows };
  }

  /** Version of the table in use. */
  get version(): number {
    return this.#table.version;
  }

  /** Number of open TCP connections and UDP flows, including connections of closed listeners. */
  get active(): number {
    return this.#limits.active;
  }

  /** The parts that other TCP listeners of this process share with the published ports. */
  get tcpContext(): TcpContext {
    return this.#tcp;
  }

  get errors(): readonly ListenerError[] {
    return [...this.#invalid, ...this.#errors];
  }

  /** A message for users while connections wait for file descriptors. Undefined otherwise. */
  get fdProblem(): string | undefined {
    return this.#limits.fdProblem;
  }

  /** The clients that wait for an endpoint, or have waited, by published port. */
  *heldClients(): Generator<HeldClients> {
    for (const listener of this.#open.values()) {
      if (listener instanceof TcpListener) {
        yield { service: listener.listener.service, ...listener.heldCounts };
      }
    }
  }

  /**
   * Replaces the table. Changes are applied one after another; a port that cannot be opened affects no other port.
   *
   * @param invalid errors of listeners whose messages were invalid
   */
  apply(table: IngressTable, invalid: readonly ListenerError[] = []): Promise<ApplyResult> {
    return this.#applyNext(() => table, invalid);
  }

  /** Applies a change to the table. Rejects when the change belongs to another version of the table. */
  applyChange(change: TableChange, invalid: readonly ListenerError[] = []): Promise<ApplyResult> {
    return this.#applyNext(() => applyChange(this.#table, change), invalid);
  }

  /**
   * Replaces the set of suspect nodes. Their endpoints get no new connections as long as the listener has others.
   * Resolves when the kernel applies it as well.
   */
  async setSuspectNodes(nodes: readonly string[]): Promise<void> {
    const added = new Set(nodes.filter((node) => !this.#suspects.has(node)));
    this.#suspects = new Set(nodes);
    if (added.size > 0) for (const listener of this.#open.values()) listener.countSuspectEjections(added);
    await this.#kernel?.setSuspectNodes(this.#suspects);
  }

  /** Lets the kernel balance the open listeners from now on. */
  async useKernel(kernel: KernelBalancer): Promise<void> {
    this.#kernel = kernel;
    if (this.#suspects.size > 0) await kernel.setSuspectNodes(this.#suspects);
    if (this.#open.size > 0) await kernel.apply(this.#openedListeners());
  }

  async stats(): Promise<Omit<IngressStats, keyof IngressStatus | "vips">> {
    const listeners = [...this.#open.values()].map((listener) => listener.stats());
    return {
      version: this.#table.version,
      processId: process.pid,
      uptimeMs: Math.round(this.#tcp.now() - this.#startedMs),
      residentBytes: process.memoryUsage.rss(),
      acceptErrors: this.#limits.acceptErrors,
      listeners: [...((await this.#kernel?.addStatistics(listeners)) ?? listeners)],
    };
  }

  /** State for a successor, without the UDP flows. */
  get handoverState(): Pick<HandoverState, "table" | "suspectNodeIds" | "sockets"> {
    const sockets = new Map<string, unknown>();
    for (const [key, { handle }] of this.#open) if (handle !== undefined) sockets.set(key, handle);
    return { table: this.#table, suspectNodeIds: [...this.#suspects], sockets };
  }

  /** UDP flows for a successor. */
  *flows(): Generator<UdpFlowHandle> {
    for (const listener of this.#udpListeners()) yield* listener.flows();
  }

  /** Stops reading datagrams: they wait in the kernel for `resume` or for a successor. */
  pause(): void {
    for (const listener of this.#udpListeners()) listener.pause();
  }

  resume(): void {
    for (const listener of this.#udpListeners()) listener.resume();
  }

  /**
   * Starts reading from inherited UDP sockets.
   *
   * @param flows flows that started after the first ones were handed over
   */
  resumeWithFlows(flows: readonly UdpFlowHandle[]): void {
    for (const flow of flows) {
      const listener = this.#open.get(flow.record.listener);
      if (listener instanceof UdpListener) listener.restore(flow);
      else closeHandle(flow.handle);
    }
    this.resume();
  }

  /** Closes the sockets before the process exits. Open connections and held clients continue. */
  async stop(): Promise<void> {
    const stopped = this.#work.then(() => {
      clearTimeout(this.#retryTimer);
      for (const listener of this.#open.values()) {
        if (listener instanceof TcpListener) listener.stopAccepting();
        else listener.close();
      }
      this.#open.clear();
    });
    this.#work = stopped;
    await stopped;
  }

  #applyNext(next: () => IngressTable, invalid: readonly ListenerError[]): Promise<ApplyResult> {
    const applied = this.#work.then(async () => {
      const table = next();
      this.#table = table;
      this.#invalid = invalid;
      await this.#reconcile();
      return { version: table.version, errors: [...this.errors] };
    });
    this.#work = applied.catch(() => {});
    return applied;
  }

  /** Applies the table. Retries later unless all listeners are open and the kernel balances them. */
  async #reconcile(): Promise<void> {
    clearTimeout(this.#retryTimer);
    let isComplete = false;
    try {
      await this.#applyTable();
      isComplete = this.#errors.length === 0;
    } finally {
      if (!isComplete) this.#retryTimer = setTimeout(() => this.#retry(), RETRY_MS);
    }
  }

  async #applyTable(): Promise<void> {
    const current = new Map([...this.#open].map(([key, opened]) => [key, opened.listener]));
    const { close, update, open } = diffListeners(current, this.#table.listeners);
    for (const key of close) this.#closeListener(key);
    for (const listener of update) this.#open.get(listenerKey(listener))?.update(listener);
    const errors: ListenerError[] = [];
    for (const listener of open) {
      const error = await this.#openListener(listener);
      if (error !== undefined) errors.push(error);
    }
    this.#errors = errors;
    await this.#kernel?.apply(this.#openedListeners());
  }

  #retry(): void {
    this.#work = this.#work.then(() => this.#reconcile()).catch(this.#onRetryFailed);
  }

  #closeListener(key: string): void {
    this.#open.get(key)?.close();
    this.#open.delete(key);
  }

  /** Returns why the listener could not be opened, or undefined if it is open. */
  async #openListener(listener: IngressListener): Promise<ListenerError | undefined> {
    const key = listenerKey(listener);
    const inherited = this.#inherited.take(key);
    try {
      this.#open.set(key, await this.#openSocket(listener, inherited));
      return undefined;
    } catch (error) {
      return describeListenerError(listener, error);
    }
  }

  #openSocket(listener: IngressListener, inherited: InheritedPort): Promise<OpenListener> {
    switch (listener.protocol) {
      case "tcp":
        return TcpListener.open(listener, this.#tcp, inherited.socket);
      case "udp":
        return UdpListener.open(listener, this.#udp, inherited);
      default:
        return assertNever(listener.protocol);
    }
  }

  #openedListeners(): readonly IngressListener[] {
    return [...this.#open.values()].map(({ listener }) => listener);
  }

  #udpListeners(): readonly UdpListener[] {
    return [...this.#open.values()].filter((listener) => listener instanceof UdpListener);
  }
}
