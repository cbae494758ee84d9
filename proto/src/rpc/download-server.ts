import type { Writable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { BerthError, isBerthError } from "../errors.js";
import {
  type DownloadReply,
  type DownloadRequest,
  formatReply,
  LineReader,
  parseRequest,
} from "./download-protocol.js";

/** Time after which a client that sends no request, or reads nothing, is disconnected. */
const SILENCE_TIMEOUT_MS = 60_000;

/** Content that a client downloads. */
export interface Download {
  readonly sizeBytes: number;
  /** Writes the content from an offset, which is at most `sizeBytes`. Does not end the output. */
  readonly writeTo: (output: Writable, offset: number) => Promise<void>;
}

/** Content that a server sends on its port for gRPC, without gRPC, which copies each byte several times. */
export interface DownloadService {
  /** Path of the gRPC method that returns the same content. Its permissions apply. */
  readonly method: string;
  /**
   * Finds the content with this name, and passes it to `send`, which resolves when the client has it or has left.
   *
   * @throws BerthError when the content cannot be sent
   */
  readonly serve: (
    name: string,
    send: (download: Download) => Promise<void>,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** Serves one download on each connection that a TLS listener has accepted for it. */
export class DownloadServer {
  readonly #service: DownloadService;
  readonly #authorize: (socket: TLSSocket) => void;
  readonly #sockets = new Set<TLSSocket>();

  /** @param authorize throws a BerthError unless the caller of a connection may download */
  constructor(service: DownloadService, authorize: (socket: TLSSocket) => void) {
    this.#service = service;
    this.#authorize = authorize;
  }

  accept(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.setTimeout(SILENCE_TIMEOUT_MS, () => socket.destroy());
    const reader = new LineReader();
    const onData = (bytes: Buffer): void => {
      try {
        const request = reader.add(bytes);
        if (request === undefined) return;
        socket.off("data", onData);
        // Ends of the connection are noticed only while it is read.
        socket.resume();
        this.#authorize(socket);
        void this.#answer(socket, parseRequest(request.line));
      } catch (error) {
        socket.off("data", onData);
        endWith(socket, error);
      }
    };
    socket.on("data", onData);
  }

  /** Ends all downloads. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #answer(socket: TLSSocket, { name, offset }: DownloadRequest): Promise<void> {
    const ended = new AbortController();
    const closed = new Promise<void>((resolve) => {
      socket.once("close", () => {
        ended.abort(new Error("the connection of the client has ended"));
        resolve();
      });
    });
    let hasStarted = false;
    const send = async ({ sizeBytes, writeTo }: Download): Promise<void> => {
      if (offset > sizeBytes) throw invalidOffset(offset, sizeBytes);
      hasStarted = true;
      reply(socket, { kind: "content", bytes: sizeBytes - offset });
      await Promise.race([writeTo(socket, offset), closed]);
      socket.end();
      await closed;
    };
    try {
      await this.#service.serve(name, send, ended.signal);
    } catch (error) {
      if (hasStarted) {
        socket.destroy();
      } else {
        endWith(socket, error);
      }
    }
  }
}

function endWith(socket: TLSSocket, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const failure = isBerthError(error) ? error : new BerthError({ code: "BERTH_INTERNAL", message });
  reply(socket, { kind: "error", error: failure });
  socket.end();
}

function reply(socket: TLSSocket, message: DownloadReply): void {
  socket.write(formatReply(message));
}

function invalidOffset(offset: number, sizeBytes: number): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `offset ${offset} is beyond the end of the content, which has ${sizeBytes} bytes`,
  });
}
