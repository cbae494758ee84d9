import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { Balancer, type Upstream } from "../balancing/balancer.js";
import type { UdpFlowHandle } from "../handover/state.js";
import {
  endpointKey,
  type IngressListener,
  type ListenerStats,
  listenerKey,
} from "../table/ingress-table.js";
import {
  adoptDatagrams,
  datagramHandle,
  discard,
  pauseDatagrams,
  resumeDatagrams,
} from "../transport/node-handles.js";
import { newCounters, type Quota } from "./counters.js";
import { FlowTable } from "./flow-table.js";
import { isLocalFailure } from "./local-failure.js";
import { UdpFlow } from "./udp-flow.js";

/** Expiry is exact to this; one look at the oldest flows, whatever their number. */
const SWEEP_MS = 1_000;

/** What all UDP listeners of the process share. */
export interface UdpContext {
  /** Flows that one listener may keep; the oldest go beyond that. */
  readonly maxFlows: number;
  readonly allowance: Quota;
  now(): number;
  isSuspect(node: string | undefined): boolean;
}

/** What another process had of this port. */
export interface InheritedPort {
  readonly socket: unknown;
  readonly flows: readonly UdpFlowHandle[];
}

/** A published UDP port: a client stays with its endpoint until its flow is idle or the endpoint goes. */
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
    socket.on("error", () => {});
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS);
  }

  /**
   * Rejects with a system error (`code`) when the port cannot be had. An inherited one is not read from until `resume`:
   * the other process does.
   */
  static async open(
    listener: IngressListener,
    context: UdpContext,
    { socket, flows }: InheritedPort,
  ): Promise<UdpListener> {
    const adopted = adoptDatagrams(socket, { isConnected: false });
    if (adopted === undefined) for (const { handle } of flows) discard(handle);
    const bound = adopted ?? (await bindSocket(listener.address, listener.port));
    const opened = new UdpListener(listener, bound, context);
    if (adopted === undefined) return opened;
    opened.pause();
    // The oldest first, as they came to be here.
    for (const flow of flows.toReversed()) opened.restore(flow);
    return opened;
  }

  /** The socket, to be given to another process; undefined: it cannot be. */
  get handle(): unknown {
    return datagramHandle(this.#socket);
  }

  /** To be given along with the socket, so that clients stay where they are. */
  flows(): readonly UdpFlowHandle[] {
    return this.#flows.known(this.#context.now()).flatMap(({ flow, ...known }) => {
      const { handle, client, upstream } = flow;
      const [listener, endpoint] = [listenerKey(this.#listener), endpointKey(upstream.endpoint)];
      return handle === undefined ? [] : [{ record: { ...known, client, listener, endpoint }, handle }];
    });
  }

  /** Datagrams of clients wait in the kernel; answers still go to them. */
  pause(): void {
    pauseDatagrams(this.#socket);
  }

  resume(): void {
    resumeDatagrams(this.#socket);
  }

  /** Goes on with what another process began. An endpoint that has vanished has nothing to go on with. */
  restore({ record, handle }: UdpFlowHandle): void {
    const upstream = this.#balancer.find(record.endpoint);
    if (upstream === undefined || !this.#context.allowance.take()) discard(handle);
    else {
      // The client was given with another endpoint before: it has left that one.
      this.#flows.use(record.client, this.#context.now())?.abort();
      const flow = this.#newFlow(record.client, upstream, handle);
      this.#flows.restore({ ...record, flow }, this.#context.now());
    }
  }

  get listener(): IngressListener {
    return this.#listener;
  }

  /** Flows of vanished endpoints move: their client's next datagram goes to another endpoint. */
  update(listener: IngressListener): void {
    this.#listener = listener;
    const { endpoints, draining, traffic } = listener;
    for (const upstream of this.#balancer.update(endpoints, draining, traffic)) {
      for (const flow of upstream.carried) flow.abort();
    }
  }

  /** Without the port no answer can leave: the flows end with it. */
  close(): void {
    clearInterval(this.#sweep);
    for (const flow of this.#flows.clear()) flow.abort();
    this.#socket.close();
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

  #forward(datagram: Buffer, address: string, port: number): void {
    const client = `${address}/${port}`;
    const flow = this.#flows.use(client, this.#context.now()) ?? this.#openFlow(client, address);
    flow?.send(datagram);
  }

  #openFlow(client: string, address: string): UdpFlow | undefined {
    const nowMs = this.#context.now();
    const upstream = this.#balancer.pick(nowMs, [], () => address);
    if (upstream === undefined || !this.#makeRoom()) {
      this.#counters.failed += 1;
      return undefined;
    }
    const flow = this.#newFlow(client, upstream, undefined);
    this.#flows.add(client, flow, nowMs)?.abort();
    return flow;
  }

  #newFlow(client: string, upstream: Upstream, inherited: unknown): UdpFlow {
    const slash = client.lastIndexOf("/");
    const [address, port] = [client.slice(0, slash), Number(client.slice(slash + 1))];
    const flow = new UdpFlow({
      client,
      upstream,
      inherited,
      onReply: (reply) => {
        this.#flows.answered(client, this.#context.now());
        this.#balancer.recovered(upstream);
        this.#socket.send(reply, port, address);
      },
      onClosed: (code) => this.#closed(flow, code),
    });
    this.#counters.total += 1;
    this.#counters.active += 1;
    upstream.total += 1;
    upstream.carried.add(flow);
    return flow;
  }

  /** A new client is worth more than the one that was silent for the longest time. */
  #makeRoom(): boolean {
    if (this.#context.allowance.take()) return true;
    this.#flows.evict()?.abort();
    return this.#context.allowance.take();
  }

  #closed(flow: UdpFlow, code: string | undefined): void {
    this.#counters.active -= 1;
    this.#context.allowance.release();
    this.#flows.delete(flow.client);
    flow.upstream.carried.delete(flow);
    if (code === undefined || isLocalFailure(code)) return;
    this.#counters.retried += 1;
    this.#balancer.failed(flow.upstream, this.#context.now());
  }

  #expire(): void {
    for (const flow of this.#flows.expire(this.#context.now())) flow.abort();
  }
}

async function bindSocket(address: string, port: number): Promise<Socket> {
  if (address !== "") return bindTo(isIPv6(address) ? "udp6" : "udp4", address, port);
  try {
    return await bindTo("udp6", "::", port);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
    return bindTo("udp4", "0.0.0.0", port);
  }
}

async function bindTo(type: "udp4" | "udp6", address: string, port: number): Promise<Socket> {
  const socket = createSocket(type);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address, port, exclusive: true }, resolve);
    });
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.removeAllListeners("error");
  return socket;
}
