import { Balancer, type Upstream } from "../balancing/balancer.js";
import type { IngressListener, ListenerStats } from "../table/ingress-table.js";
import { proxyHeader } from "../transport/proxy-header.js";
import type { ByteStream, Listening, Transport } from "../transport/transport.js";
import type { Admission } from "./admission.js";
import type { DeadlineTimer } from "./deadline-timer.js";
import { Dial } from "./dial.js";
import { listenerStats, newCounters } from "./listener-stats.js";
import { Relay } from "./relay.js";

/** Shared by all TCP listeners of the process. */
export interface TcpContext {
  readonly transport: Transport;
  readonly deadlines: DeadlineTimer;
  readonly admission: Admission;
  now(): number;
  isSuspect(node: string | undefined): boolean;
  onAcceptError(code: string): void;
}

/** Serves a published TCP port: connects each client to an endpoint and relays between them. */
export class TcpListener {
  readonly #context: TcpContext;
  readonly #balancer: Balancer;
  readonly #counters = newCounters();
  #listener: IngressListener;
  #server: Listening | undefined;

  private constructor(listener: IngressListener, context: TcpContext) {
    this.#listener = listener;
    this.#context = context;
    this.#balancer = new Balancer(context.isSuspect);
    this.update(listener);
  }

  /**
   * Opens the port, or continues on a socket that another process handed over.
   * @throws system error (`code`) when the port cannot be opened
   */
  static async open(
    listener: IngressListener,
    context: TcpContext,
    inherited?: unknown,
  ): Promise<TcpListener> {
    const opened = new TcpListener(listener, context);
    opened.#server = await context.transport.listen({
      address: listener.address,
      port: listener.port,
      inherited,
      onConnection: (client) => opened.#accept(client),
      onAcceptError: context.onAcceptError,
    });
    return opened;
  }

  /** Handle of the listening socket, to be sent to another process. Undefined when it cannot be sent. */
  get handle(): unknown {
    return this.#server?.handle;
  }

  get listener(): IngressListener {
    return this.#listener;
  }

  /** Replaces endpoints and rules. Keeps the connections of remaining endpoints and resets those of removed ones. */
  update(listener: IngressListener): void {
    this.#listener = listener;
    const { endpoints, draining, traffic } = listener;
    for (const upstream of this.#balancer.update(endpoints, draining, traffic)) {
      for (const relay of upstream.connections) relay.abort();
    }
  }

  /** Stops accepting. Existing connections continue. */
  close(): void {
    this.#server?.close();
  }

  stats(): ListenerStats {
    return listenerStats(this.#listener, this.#counters, this.#balancer.stats(this.#context.now()));
  }

  countSuspects(nodes: ReadonlySet<string>): void {
    this.#balancer.countSuspects(nodes);
  }

  #accept(client: ByteStream): void {
    const { admission, deadlines, transport, now } = this.#context;
    const counters = this.#counters;
    counters.total += 1;
    counters.active += 1;
    let upstream: Upstream | undefined;
    let dial: Dial | undefined;
    let stopWaiting: (() => void) | undefined;
    let isAdmitted = admission.take();
    const relay = new Relay(client, () => {
      counters.active -= 1;
      stopWaiting?.();
      if (isAdmitted) admission.release();
      dial?.cancel();
      upstream?.connections.delete(relay);
    });
    const refuse = (): void => {
      counters.failed += 1;
      relay.abort();
    };
    const serve = (): void => {
      isAdmitted = true;
      dial = new Dial({
        transport,
        balancer: this.#balancer,
        deadlines,
        now,
        clientAddress: () => client.addresses()?.remoteAddress ?? "",
        onRetry: () => {
          counters.retried += 1;
        },
        onDone: (result) => {
          if (result === undefined) {
            refuse();
            return;
          }
          upstream = result.upstream;
          upstream.connections.add(relay);
          const isProxied = this.#listener.traffic?.proxyProtocol === true;
          relay.attach(result.stream, isProxied ? proxyHeader(client.addresses()) : undefined);
        },
      });
    };
    if (isAdmitted) {
      serve();
      return;
    }
    stopWaiting = admission.wait(serve, refuse);
    if (stopWaiting === undefined) refuse();
  }
}
