import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { ActiveConnection, Upstream } from "../balancing/balancer.js";
import { adoptDatagramSocket, datagramHandle } from "../transport/socket-handles.js";

/**
 * Maximum number of datagrams that are buffered until the socket is connected, which takes one turn of the event loop.
 */
const MAX_EARLY_DATAGRAMS = 16;

export interface UdpFlowOptions {
  readonly client: string;
  readonly upstream: Upstream;
  /** Handle of a socket that another process connected to the endpoint. */
  readonly inherited?: unknown;
  onReply(datagram: Buffer): void;
  /** Called once: the endpoint refused or was removed, or the flow was closed. `code` is the socket's error, if any. */
  onClosed(code: string | undefined): void;
}

/** Relays the datagrams of one client to one endpoint. Each flow has its own source port, which identifies replies. */
export class UdpFlow implements ActiveConnection {
  readonly client: string;
  readonly upstream: Upstream;
  readonly #socket: Socket;
  readonly #options: UdpFlowOptions;
  #earlyDatagrams: Buffer[] | undefined = [];
  #isOpen = true;

  constructor(options: UdpFlowOptions) {
    this.#options = options;
    this.client = options.client;
    this.upstream = options.upstream;
    const { address, port } = options.upstream.endpoint;
    const adopted = adoptDatagramSocket(options.inherited, { isConnected: true });
    this.#socket = adopted ?? createSocket(isIPv6(address) ? "udp6" : "udp4");
    this.#socket.on("message", (datagram) => options.onReply(datagram));
    this.#socket.on("error", (error) => this.close("code" in error ? String(error.code) : "EIO"));
    if (adopted === undefined) this.#socket.connect(port, address, () => this.#flush());
    else this.#earlyDatagrams = undefined;
  }

  /** Handle of the connected socket, to be sent to another process. */
  get handle(): unknown {
    return this.#isOpen && this.#earlyDatagrams === undefined ? datagramHandle(this.#socket) : undefined;
  }

  send(datagram: Buffer): void {
    if (!this.#isOpen) return;
    if (this.#earlyDatagrams === undefined) this.#socket.send(datagram, (error) => this.#onSent(error));
    else if (this.#earlyDatagrams.length < MAX_EARLY_DATAGRAMS) this.#earlyDatagrams.push(datagram);
  }

  abort(): void {
    this.close(undefined);
  }

  close(code: string | undefined): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#socket.close();
    this.#options.onClosed(code);
  }

  #flush(): void {
    const datagrams = this.#earlyDatagrams ?? [];
    this.#earlyDatagrams = undefined;
    for (const datagram of datagrams) this.send(datagram);
  }

  #onSent(error: Error | null): void {
    if (error !== null && "code" in error && error.code === "ECONNREFUSED") this.close("ECONNREFUSED");
  }
}
