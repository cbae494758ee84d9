import type { Logger } from "pino";
import { Balancer } from "../balancing/balancer.js";
import { type HeldCounts, HoldQueue, NO_HELD_CLIENTS } from "../listeners/hold-queue.js";
import { type ListenerCounters, newCounters } from "../listeners/listener-stats.js";
import type { TcpContext } from "../listeners/tcp-listener.js";
import { TcpSession } from "../listeners/tcp-session.js";
import type { IngressEndpoint } from "../table/ingress-table.js";
import type { ByteStream, Listening } from "../transport/transport.js";
import type { OriginalPorts } from "./original-ports.js";
import type { Vip, Vips } from "./vip.js";

/** The kernel's rules let connections to this port pass only when their address is a virtual IP. */
const ANY_ADDRESS = "0.0.0.0";
/** Bounds the memory for a container that tries every port of a virtual IP. */
const MAX_UNUSED_PORTS = 64;

/** One port of a virtual IP whose connections this process has accepted. */
interface HeldPort {
  readonly port: number;
  readonly balancer: Balancer;
  readonly holdQueue: HoldQueue;
  readonly counters: ListenerCounters;
}

/**
 * Accepts the connections to virtual IPs for which the kernel has no task, and relays each to the first task that
 * accepts it. The counterpart of a published port's listener: one socket serves all virtual IPs and their ports.
 */
export class HeldConnections {
  readonly #context: TcpContext;
  readonly #originalPorts: OriginalPorts;
  /** The ports on which connections are held, by virtual IP and port. */
  readonly #ports = new Map<string, Map<number, HeldPort>>();
  /** Connections of ports that were removed, by virtual IP. */
  readonly #endedCounts = new Map<string, HeldCounts>();
  #vips: Vips = new Map();
  #server: Listening | undefined;

  private constructor(context: TcpContext, originalPorts: OriginalPorts) {
    this.#context = context;
    this.#originalPorts = originalPorts;
  }

  /** Opens the socket. Undefined when that fails: connections are then refused instead of held. */
  static async open(
    context: TcpContext,
    originalPorts: OriginalPorts,
    log: Pick<Logger, "warn">,
  ): Promise<HeldConnections | undefined> {
    const held = new HeldConnections(context, originalPorts);
    try {
      held.#server = await context.transport.listen({
        address: ANY_ADDRESS,
        port: 0,
        onConnection: (client) => void held.#accept(client),
        onAcceptError: context.onAcceptError,
      });
      return held;
    } catch (error) {
      log.warn({ err: error }, "cannot hold connections to virtual IPs; they are refused instead");
      return undefined;
    }
  }

  /** The port to which the kernel sends connections, with the virtual IP as their address. */
  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** Replaces the virtual IPs. Held connections go to new tasks, and those to removed tasks are reset. */
  update(vips: Vips): void {
    this.#vips = vips;
    for (const [address, ports] of this.#ports) {
      const vip = vips.get(address);
      for (const held of ports.values()) updateEndpoints(held, vip);
      this.#removeUnused(address, ports);
      if (ports.size === 0) this.#ports.delete(address);
    }
    for (const address of this.#endedCounts.keys()) if (!vips.has(address)) this.#endedCounts.delete(address);
  }

  countsOf(address: string): HeldCounts {
    const ports = [...(this.#ports.get(address)?.values() ?? [])];
    const ended = this.#endedCounts.get(address) ?? NO_HELD_CLIENTS;
    return ports.reduce((sum, { holdQueue }) => addCounts(sum, holdQueue.counts), ended);
  }

  /** Stops accepting. Connections continue. */
  close(): void {
    this.#server?.close();
  }

  async #accept(client: ByteStream): Promise<void> {
    const { remoteAddress, remotePort, localAddress } = client.addresses() ?? {};
    if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined) {
      client.reset();
      return;
    }
    const request = { address: remoteAddress, port: remotePort, vip: localAddress };
    const port = this.#vips.has(localAddress) ? await this.#originalPorts.find(request) : undefined;
    const vip = this.#vips.get(localAddress);
    if (port === undefined || vip === undefined) client.reset();
    else this.#serve(client, vip, port);
  }

  #serve(client: ByteStream, vip: Vip, port: number): void {
    const { transport, deadlines, admission, now } = this.#context;
    const { balancer, holdQueue, counters } = this.#putPort(vip, port);
    TcpSession.start(client, {
      transport,
      deadlines,
      admission,
      now,
      balancer,
      holdQueue,
      counters,
      holdMs: () => this.#vips.get(vip.address)?.hold?.ms ?? 0,
      usesProxyProtocol: () => false,
    });
  }

  #putPort(vip: Vip, port: number): HeldPort {
    const { heldClients: quota, deadlines, now, onHeldChange: onChange } = this.#context;
    const ports = this.#ports.get(vip.address) ?? new Map<number, HeldPort>();
    this.#ports.set(vip.address, ports);
    const existing = ports.get(port);
    if (existing !== undefined) return existing;
    if (ports.size >= MAX_UNUSED_PORTS) this.#removeUnused(vip.address, ports);
    const holdQueue = new HoldQueue({ quota, deadlines, now, onChange });
    const held = { port, balancer: new Balancer(), holdQueue, counters: newCounters() };
    updateEndpoints(held, vip);
    ports.set(port, held);
    return held;
  }

  /** Removes the ports without connections. */
  #removeUnused(address: string, ports: Map<number, HeldPort>): void {
    for (const { port, holdQueue, counters } of ports.values()) {
      if (counters.active > 0) continue;
      ports.delete(port);
      const ended = this.#endedCounts.get(address) ?? NO_HELD_CLIENTS;
      this.#endedCounts.set(address, addCounts(ended, holdQueue.counts));
    }
  }
}

function addCounts(left: HeldCounts, right: HeldCounts): HeldCounts {
  return {
    held: left.held + right.held,
    heldTotal: left.heldTotal + right.heldTotal,
    heldRefused: left.heldRefused + right.heldRefused,
  };
}

function updateEndpoints({ port, balancer, holdQueue }: HeldPort, vip: Vip | undefined): void {
  const toEndpoint = (address: string): IngressEndpoint => ({ id: address, address, port });
  const removed = balancer.update((vip?.tasks ?? []).map(toEndpoint), (vip?.draining ?? []).map(toEndpoint), {
    proxyProtocol: false,
    affinity: vip?.hasSourceAffinity === true ? "source" : "none",
    balance: "round-robin",
  });
  for (const { connections } of removed) for (const relay of connections) relay.abort();
  holdQueue.retryAll();
}
