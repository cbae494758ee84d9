import { Balancer, type Upstream } from "../balancing/balancer.js";
import type { IngressListener, ListenerStats } from "../table/ingress-table.js";
import { proxyHeader } from "../transport/proxy-header.js";
import type { ByteStream, Listening, Transport } from "../transport/transport.js";
import type { Admission } from "./admission.js";
import { newCounters } from "./counters.js";
import type { Deadlines } from "./deadlines.js";
import { Dial } from "./dial.js";
import { Relay } from "./relay.js";

/** What all TCP listeners of the process share. */
export interface TcpContext {
  readonly transport: Transport;
  readonly deadlines: Deadlines;
  readonly admission: Admission;
  now(): number;
  isSuspect(node: string | undefined): boolean;
  onAcceptError(code: string): void;
}

/** A published TCP port. */
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

  /** Rejects with a system error (`code`) when the port cannot be had. */
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

  /** The listening socket, to be given to another process; undefined: it cannot be. */
  get handle(): unknown {
    return this.#server?.handle;
  }

  get listener(): IngressListener {
    return this.#listener;
  }

  /** Connections of endpoints that are in the new lists live on; those of vanished endpoints are reset. */
  update(listener: IngressListener): void {
    this.#listener = listener;
    const { endpoints, draining, traffic } = listener;
    for (const upstream of this.#balancer.update(endpoints, draining, traffic)) {
      for (const relay of upstream.carried) relay.abort();
    }
  }

  /** Accepts no more; what runs goes on to its own end. */
  close(): void {
    this.#server?.close();
  }

  stats(): ListenerStats {
    const { protocol, address, port, service, stack = "" } = this.#listener;
    const balanced = this.#balancer.stats(this.#context.now());
    return { protocol, address, port, service, stack, ...this.#counters, ...balanced };
  }

  /** These nodes have fallen silent. */
  suspected(nodes: ReadonlySet<string>): void {
    this.#balancer.suspected(nodes);
  }

  #accept(client: ByteStream): void {
    const { admission, deadlines, transport, now } = this.#context;
    const counters = this.#counters;
    counters.total += 1;
    counters.active += 1;
    let carrier: Upstream | undefined;
    let dial: Dial | undefined;
    let stopWaiting: (() => void) | undefined;
    let isAdmitted = admission.take();
    const relay = new Relay(client, () => {
      counters.active -= 1;
      stopWaiting?.();
      if (isAdmitted) admission.release();
      dial?.cancel();
      carrier?.carried.delete(relay);
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
        clientAddress: () => client.ends()?.remoteAddress ?? "",
        onRetry: () => {
          counters.retried += 1;
        },
        onDone: (result) => {
          if (result === undefined) {
            refuse();
            return;
          }
          carrier = result.upstream;
          carrier.carried.add(relay);
          const isProxied = this.#listener.traffic?.proxyProtocol === true;
          relay.attach(result.stream, isProxied ? proxyHeader(client.ends()) : undefined);
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
