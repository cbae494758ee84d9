import { Balancer } from "../balancing/balancer.js";
import type { IngressListener, ListenerStats } from "../table/ingress-table.js";
import type { Listening, Transport } from "../transport/transport.js";
import type { Admission } from "./admission.js";
import type { DeadlineTimer } from "./deadline-timer.js";
import { type HeldCounts, HoldQueue } from "./hold-queue.js";
import { combineStats, newCounters } from "./listener-stats.js";
import type { Quota } from "./quota.js";
import { type SessionContext, TcpSession } from "./tcp-session.js";

/** The parts of the ingress process that all TCP listeners share. */
export interface TcpContext {
  readonly transport: Transport;
  readonly deadlines: DeadlineTimer;
  readonly admission: Admission;
  /** The clients of all listeners that wait for an endpoint. */
  readonly heldClients: Quota;
  readonly now: () => number;
  readonly isSuspect: (node: string | undefined) => boolean;
  readonly onAcceptError: (code: string) => void;
  /** Called when a client begins or ceases to wait for an endpoint. */
  readonly onHeldChange: () => void;
}

/** Serves a published TCP port in user space. Each client gets a {@link TcpSession}. */
export class TcpListener {
  readonly #context: TcpContext;
  readonly #balancer: Balancer;
  readonly #counters = newCounters();
  readonly #holdQueue: HoldQueue;
  #listener: IngressListener;
  #server: Listening | undefined;

  private constructor(listener: IngressListener, context: TcpContext) {
    this.#listener = listener;
    this.#context = context;
    this.#balancer = new Balancer(context.isSuspect);
    const { heldClients: quota, deadlines, now, onHeldChange: onChange } = context;
    this.#holdQueue = new HoldQueue({ quota, deadlines, now, onChange });
    this.update(listener);
  }

  /**
   * Opens the port, or continues on a socket that another process handed over.
   *
   * @throws system error (`code`) if the port cannot be opened
   */
  static async open(
    listener: IngressListener,
    context: TcpContext,
    inherited?: unknown,
  ): Promise<TcpListener> {
    const opened = new TcpListener(listener, context);
    const session = opened.#sessionContext();
    opened.#server = await context.transport.listen({
      address: listener.address,
      port: listener.port,
      inherited,
      onConnection: (client) => TcpSession.start(client, session),
      onAcceptError: context.onAcceptError,
    });
    return opened;
  }

  /** Handle of the listening socket, to be sent to another process. Undefined if it cannot be sent. */
  get handle(): unknown {
    return this.#server?.handle;
  }

  get listener(): IngressListener {
    return this.#listener;
  }

  /**
   * Replaces endpoints and rules. Keeps the connections of remaining endpoints, and resets the connections of removed
   * ones.
   */
  update(listener: IngressListener): void {
    this.#listener = listener;
    const { endpoints, draining, traffic } = listener;
    for (const upstream of this.#balancer.update(endpoints, draining, traffic)) {
      for (const relay of upstream.connections) relay.abort();
    }
    this.#holdQueue.retryAll();
  }

  /** Stops accepting. Open connections and held clients continue. */
  stopAccepting(): void {
    this.#server?.close();
  }

  /** Closes a port that is no longer published: no endpoint will come for the held clients. Open connections continue. */
  close(): void {
    this.stopAccepting();
    this.#listener = { ...this.#listener, holdMs: 0 };
    this.#holdQueue.refuseAll();
  }

  stats(): ListenerStats {
    const balancerStats = this.#balancer.stats(this.#context.now());
    return combineStats(this.#listener, this.#counters, balancerStats, this.#holdQueue.counts);
  }

  get heldCounts(): HeldCounts {
    return this.#holdQueue.counts;
  }

  countSuspectEjections(nodes: ReadonlySet<string>): void {
    this.#balancer.countSuspectEjections(nodes);
  }

  #sessionContext(): SessionContext {
    const { transport, deadlines, admission, now } = this.#context;
    return {
      transport,
      deadlines,
      admission,
      now,
      balancer: this.#balancer,
      holdQueue: this.#holdQueue,
      counters: this.#counters,
      holdMs: () => this.#listener.holdMs ?? 0,
      usesProxyProtocol: () => this.#listener.traffic?.proxyProtocol === true,
    };
  }
}
