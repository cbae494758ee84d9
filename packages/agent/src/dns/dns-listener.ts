import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";
import { readFrames, writeFrame } from "./tcp-frames.js";

const MAX_TCP_CONNECTIONS = 256;
/** RFC 7766 leaves it to the server; a resolver that has more to ask connects again. */
const TCP_IDLE_MS = 10_000;

export interface DnsRequest {
  readonly bytes: Buffer;
  /** The asker's address. */
  readonly from: string;
  readonly viaTcp: boolean;
}

export interface DnsListenerOptions {
  readonly address: string;
  readonly port: number;
  /** Resolves with the answer; undefined: none is due. Never rejects. */
  readonly answer: (request: DnsRequest) => Promise<Buffer | undefined>;
}

/** Takes questions at one address, over UDP and TCP. */
export class DnsListener {
  readonly #options: DnsListenerOptions;
  readonly #udp: UdpSocket = createSocket({ type: "udp4" });
  readonly #tcp: Server;
  readonly #connections = new Set<TcpSocket>();

  private constructor(options: DnsListenerOptions) {
    this.#options = options;
    this.#tcp = createServer((socket) => this.#serve(socket));
    this.#tcp.maxConnections = MAX_TCP_CONNECTIONS;
  }

  /** Rejects with a system error (`code`) when the address or its port cannot be had. */
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

  close(): void {
    this.#udp.removeAllListeners("message");
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
  }

  async #bind(): Promise<void> {
    const { address, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#udp.once("error", reject);
      this.#udp.bind({ address, port, exclusive: true }, resolve);
    });
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once("error", reject);
      this.#tcp.listen({ host: address, port, exclusive: true }, resolve);
    });
    // From here on an error is one of a single answer: its asker asks again.
    for (const socket of [this.#udp, this.#tcp]) socket.removeAllListeners("error").on("error", () => {});
    this.#udp.on("message", (bytes, { address: from, port: fromPort }) => {
      void this.#options.answer({ bytes, from, viaTcp: false }).then((reply) => {
        if (reply !== undefined) this.#send(reply, from, fromPort);
      });
    });
  }

  #send(reply: Buffer, to: string, port: number): void {
    try {
      this.#udp.send(reply, port, to, () => {});
    } catch {
      // Closed meanwhile.
    }
  }

  #serve(socket: TcpSocket): void {
    this.#connections.add(socket);
    socket.once("close", () => this.#connections.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    const from = socket.remoteAddress ?? "";
    readFrames(socket, (bytes) => {
      void this.#options.answer({ bytes, from, viaTcp: true }).then((reply) => {
        if (reply !== undefined && !socket.destroyed) writeFrame(socket, reply);
      });
    });
  }
}
