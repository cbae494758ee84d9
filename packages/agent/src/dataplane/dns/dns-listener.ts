import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  adoptDatagramSocket,
  datagramHandle,
  listeningHandle,
  pauseReceiving,
} from "../transport/socket-handles.js";
import { ClientQuota } from "./client-quota.js";
import { readMessages, writeMessage } from "./message.js";

/** Limits of open connections at one address. */
const MAX_CONNECTIONS = { perClient: 32, perNetwork: 256, total: 256 } as const;
/** Maximum size of a query, which contains one name and options. */
const MAX_QUERY_BYTES = 4_096;
/** Maximum size of the replies that a client may leave unread. Beyond it, the client is disconnected. */
const MAX_UNREAD_BYTES = 256 * 1_024;
/** Time after which an idle connection is closed. RFC 7766 leaves the value to the server. */
const TCP_IDLE_MS = 10_000;
/**
 * Maximum time to answer pending queries before a listener closes. A reply takes up to 3 s when other servers do not
 * respond.
 */
const DRAIN_TIMEOUT_MS = 5_000;
const DRAIN_POLL_MS = 50;

/** Handles of the sockets of one address. A handle is undefined if the socket has to be opened. */
export interface DnsSockets {
  readonly udp: unknown;
  readonly tcp: unknown;
}

export interface DnsRequest {
  readonly bytes: Buffer;
  /** Source address of the query. */
  readonly from: string;
  readonly isOverTcp: boolean;
}

export interface DnsListenerOptions {
  readonly address: string;
  readonly port: number;
  /** Sockets of a predecessor, which may still read from them. */
  readonly inherited: DnsSockets | undefined;
  /** Returns the reply, or undefined if none is due. Never rejects. */
  readonly answer: (request: DnsRequest) => Promise<Buffer | undefined>;
}

/** Receives DNS queries at one address of this host, over UDP and TCP, and sends the replies of the DNS server. */
export class DnsListener {
  readonly #options: DnsListenerOptions;
  readonly #udp: UdpSocket;
  /** Whether the UDP socket is inherited and therefore bound already. */
  readonly #isBound: boolean;
  readonly #tcp: Server;
  readonly #connections = new Set<TcpSocket>();
  readonly #quota = new ClientQuota(MAX_CONNECTIONS);
  /** Number of queries that are being answered. */
  #pending = 0;

  private constructor(options: DnsListenerOptions) {
    this.#options = options;
    const adopted = adoptDatagramSocket(options.inherited?.udp, { isConnected: false });
    this.#isBound = adopted !== undefined;
    this.#udp = adopted ?? createSocket({ type: "udp4" });
    this.#tcp = createServer((socket) => this.#serve(socket));
  }

  /**
   * Opens both sockets, or continues on inherited ones.
   *
   * @throws system error (`code`) if the address or port is not available
   */
  static async open(options: DnsListenerOptions): Promise<DnsListener> {
    const listener = new DnsListener(options);
    try {
      await listener.#bind();
    } catch (error) {
      listener.close();
      throw error;
    }
    return listener;
  }

  /** The sockets, for a successor. */
  get sockets(): DnsSockets {
    return { udp: datagramHandle(this.#udp), tcp: listeningHandle(this.#tcp) };
  }

  /** Leaves new queries to a successor and answers pending ones. Resolves when the sockets are closed. */
  async drain(): Promise<void> {
    this.#tcp.close();
    if (!pauseReceiving(this.#udp)) return this.close();
    const endMs = performance.now() + DRAIN_TIMEOUT_MS;
    while ((this.#pending > 0 || this.#connections.size > 0) && performance.now() < endMs) {
      await sleep(DRAIN_POLL_MS);
    }
    this.close();
  }

  close(): void {
    this.#udp.removeAllListeners("message");
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
  }

  async #bind(): Promise<void> {
    const { address, port, inherited } = this.#options;
    this.#udp.on("message", (bytes, { address: from, port: fromPort }) => {
      this.#answer({ bytes, from, isOverTcp: false }, (reply) => this.#send(reply, from, fromPort));
    });
    await new Promise<void>((resolve, reject) => {
      this.#udp.once("error", reject);
      if (this.#isBound) resolve();
      else this.#udp.bind({ address, port, exclusive: true }, resolve);
    });
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once("error", reject);
      this.#tcp.listen(inherited?.tcp ?? { host: address, port, exclusive: true }, resolve);
    });
    // Later errors affect a single reply. The resolver retries.
    for (const socket of [this.#udp, this.#tcp]) socket.removeAllListeners("error").on("error", () => {});
  }

  #answer(request: DnsRequest, send: (reply: Buffer) => void): void {
    this.#pending += 1;
    void this.#options.answer(request).then((reply) => {
      this.#pending -= 1;
      if (reply !== undefined) send(reply);
    });
  }

  #send(reply: Buffer, to: string, port: number): void {
    try {
      this.#udp.send(reply, port, to, () => {});
    } catch {
      // The socket was closed meanwhile.
    }
  }

  #serve(socket: TcpSocket): void {
    const from = socket.remoteAddress ?? "";
    const client = { address: from, gateway: this.#options.address };
    socket.on("error", () => socket.destroy());
    if (!this.#quota.tryAcquire(client)) return void socket.destroy();
    this.#connections.add(socket);
    socket.once("close", () => {
      this.#connections.delete(socket);
      this.#quota.release(client);
    });
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    readMessages(socket, MAX_QUERY_BYTES, (bytes) => {
      this.#answer({ bytes, from, isOverTcp: true }, (reply) => {
        if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
        if (!socket.destroyed) writeMessage(socket, reply);
      });
    });
  }
}
