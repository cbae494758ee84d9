import type { Socket } from "node:dgram";
import { isResourceError } from "../../runtime/resource-error.js";
import { Balancer, type Upstream } from "../balancing/balancer.js";
import type { UdpFlowHandle } from "../handover/state.js";
import {
  endpointKey,
  type IngressListener,
  type ListenerStats,
  listenerKey,
} from "../table/ingress-table.js";
import { bindDatagramSocket } from "../transport/bind-datagram-socket.js";
import {
  adoptDatagramSocket,
  closeHandle,
  datagramHandle,
  pauseReceiving,
  resumeReceiving,
} from "../transport/socket-handles.js";
import { FlowTable } from "./flow-table.js";
import type { InheritedPort } from "./inherited-ports.js";
import { combineStats, newCounters } from "./listener-stats.js";
import type { Quota } from "./quota.js";
import { UdpFlow } from "./udp-flow.js";

/** Interval between two sweeps that close idle flows. Only expired flows are visited. */
const SWEEP_MS = 1_000;

/** The parts of the ingress process that all UDP listeners share. */
export interface UdpContext {
  /** Maximum number of flows per listener; beyond it, the oldest flow is closed. */
  readonly maxFlows: number;
  readonly quota: Quota;
  readonly now: () => number;
  readonly isSuspect: (node: string | undefined) => boolean;
}

/** Serves a published UDP port. A client keeps its endpoint until its flow is idle or the endpoint is removed. */
export class UdpListener {
  readonly #context: UdpContext;
  readonly #socket: Socket;
  readonly #balancer: Balancer;
  readonly #flows: FlowTable<UdpFlow>;
  readonly #counters = newCounters();
  readonly #sweep: NodeJS.Timeout;
  #listener: IngressListener;

  private constructor(listener: IngressListener, socket: Socket, context: UdpContext) {
    this.#listener = listener;
    this.#context = context;
    this.#balancer = new Balancer(context.isSuspect);
    this.#socket = socket;
    this.#flows = new FlowTable(context.maxFlows);
    this.update(listener);
    socket.on("message", (datagram, from) => this.#forward(datagram, from.address, from.port));
    // A datagram that cannot be sent is lost. Without a listener, its error would end the process.
    socket.on("error", () => {});
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS);
  }

  /**
   * Opens the port, or continues on an inherited socket. An inherited socket is paused until `resume`, because the
   * other process still reads from it.
   *
   * @throws system error (`code`) if the port cannot be opened
   */
  static async open(
    listener: IngressListener,
    context: UdpContext,
    { socket, flows }: InheritedPort,
  ): Promise<UdpListener> {
    const adopted = adoptDatagramSocket(socket, { isConnected: false });
    if (adopted === undefined) for (const { handle } of flows) closeHandle(handle);
    const bound = adopted ?? (await bindDatagramSocket(listener.address, listener.port));
    const opened = new UdpListener(listener, bound, context);
    if (adopted === undefined) return opened;
    opened.pause();
    // The oldest flow first, in the order in which they were added.
    for (const flow of flows.toReversed()) opened.restore(flow);
    return opened;
  }

  /** Handle of the socket, to be sent to another process. Undefined if it cannot be sent. */
  get handle(): unknown {
    return datagramHandle(this.#socket);
  }

  /** Returns the flows for a successor, so that clients keep their endpoints. The most recently used flow is first. */
  flows(): readonly UdpFlowHandle[] {
    return this.#flows.snapshot(this.#context.now()).flatMap(({ flow, ...state }) => {
      const { handle, client, upstream } = flow;
      const [listener, endpoint] = [listenerKey(this.#listener), endpointKey(upstream.endpoint)];
      return handle === undefined ? [] : [{ record: { ...state, client, listener, endpoint }, handle }];
    });
  }

  /** Stops reading: datagrams from clients wait in the kernel. Replies are still sent. */
  pause(): void {
    pauseReceiving(this.#socket);
  }

  resume(): void {
    resumeReceiving(this.#socket);
  }

  /** Continues a flow of another process. Closes it if its endpoint is not in the table or the quota is exhausted. */
  restore({ record, handle }: UdpFlowHandle): void {
    const { quota, now } = this.#context;
    const upstream = this.#balancer.find(record.endpoint);
    if (upstream === undefined || !quota.tryAcquire()) {
      closeHandle(handle);
      return;
    }
    // An older flow of the same client went to another endpoint. The later flow replaces it.
    this.#flows.use(record.client, now())?.abort();
    const flow = this.#startFlow(record.client, upstream, handle);
    this.#flows.restore({ ...record, flow }, now());
  }

  get listener(): IngressListener {
    return this.#listener;
  }

  /** Replaces endpoints and rules. Closes flows of removed endpoints; their clients' next datagrams open new ones. */
  update(listener: IngressListener): void {
    this.#listener = listener;
    const { endpoints, draining, traffic } = listener;
    for (const upstream of this.#balancer.update(endpoints, draining, traffic)) {
      for (const flow of upstream.connections) flow.abort();
    }
  }

  /** Closes the port and all flows: without the port, replies cannot be sent. */
  close(): void {
    clearInterval(this.#sweep);
    for (const flow of this.#flows.clear()) flow.abort();
    this.#socket.close();
  }

  stats(): ListenerStats {
    return combineStats(this.#listener, this.#counters, this.#balancer.stats(this.#context.now()));
  }

  countSuspectEjections(nodes: ReadonlySet<string>): void {
    this.#balancer.countSuspectEjections(nodes);
  }

  #forward(datagram: Buffer, address: string, port: number): void {
    const client = `${address}/${port}`;
    const flow = this.#flows.use(client, this.#context.now()) ?? this.#openFlow(client, address);
    flow?.send(datagram);
  }

  #openFlow(client: string, address: string): UdpFlow | undefined {
    const nowMs = this.#context.now();
    const upstream = this.#balancer.pick(nowMs, [], () => address);
    if (upstream === undefined || !this.#takePlace()) {
      this.#counters.failed += 1;
      return undefined;
    }
    const flow = this.#startFlow(client, upstream, undefined);
    this.#flows.add(client, flow, nowMs)?.abort();
    return flow;
  }

  #startFlow(client: string, upstream: Upstream, inherited: unknown): UdpFlow {
    const slash = client.lastIndexOf("/");
    const [address, port] = [client.slice(0, slash), Number(client.slice(slash + 1))];
    const flow = new UdpFlow({
      client,
      upstream,
      inherited,
      onReply: (reply) => {
        this.#flows.recordReply(client, this.#context.now());
        this.#balancer.recordSuccess(upstream);
        this.#socket.send(reply, port, address);
      },
      onClosed: (code) => this.#onFlowClosed(flow, code),
    });
    this.#counters.total += 1;
    this.#counters.active += 1;
    upstream.total += 1;
    upstream.connections.add(flow);
    return flow;
  }

  /** Reserves a place for a new flow. When none is free, evicts a flow of this listener, the oldest unanswered one first. */
  #takePlace(): boolean {
    if (this.#context.quota.tryAcquire()) return true;
    this.#flows.evict()?.abort();
    return this.#context.quota.tryAcquire();
  }

  #onFlowClosed(flow: UdpFlow, code: string | undefined): void {
    this.#counters.active -= 1;
    this.#context.quota.release();
    this.#flows.delete(flow.client);
    flow.upstream.connections.delete(flow);
    if (code === undefined || isResourceError(code)) return;
    // Counted as retried, as for TCP: the client's next datagram opens a flow to another endpoint.
    this.#counters.retried += 1;
    this.#balancer.recordFailure(flow.upstream, this.#context.now());
  }

  #expire(): void {
    for (const flow of this.#flows.expire(this.#context.now())) flow.abort();
  }
}
