import { once } from "node:events";
import type { OnReadOpts } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { BerthError } from "../errors.js";
import { nodeTlsOptions } from "./credentials.js";
import {
  DOWNLOAD_PROTOCOL,
  type DownloadReply,
  formatRequest,
  LineReader,
  parseReply,
} from "./download-protocol.js";
import type { RpcIdentity } from "./rpc-identity.js";
import { splitAddress } from "./tls-listener.js";

/** Timeout of the connection. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Size of a read. TLS decrypts at most 16 KiB at a time. */
const BUFFER_BYTES = 16 * 1024;

export interface DownloadOptions {
  /** "host:port" */
  readonly address: string;
  /** The node whose agent has the content. */
  readonly nodeId: string;
  /** The first byte that is needed. */
  readonly offset: number;
  /** Takes the next bytes, whose buffer is used again when the promise resolves, or at once if there is none. */
  readonly write: (bytes: Uint8Array) => Promise<void> | undefined;
  readonly signal: AbortSignal;
}

/**
 * Downloads content from the agent of a node, with one buffer for all of it: new ones for each chunk would make V8 collect
 * garbage every few MiB. Returns false when the agent is of a release without downloads.
 *
 * @throws BerthError of the agent; BERTH_NODE_UNREACHABLE, also when the content is not complete; the errors of `write`;
 *         the signal's reason
 */
export async function download(
  identity: RpcIdentity,
  name: string,
  options: DownloadOptions,
): Promise<boolean> {
  const { offset, signal } = options;
  signal.throwIfAborted();
  const receiver = new Receiver(options.write);
  const socket = openSocket(identity, options, receiver);
  const onAbort = (): void => void socket.destroy(asError(signal.reason));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
    if (socket.alpnProtocol !== DOWNLOAD_PROTOCOL) return false;
    socket.write(formatRequest({ name, offset }));
    await receiver.complete;
    return true;
  } catch (error) {
    signal.throwIfAborted();
    throw receiver.error ?? unreachable(options, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
  }
}

function openSocket(
  identity: RpcIdentity,
  { address, nodeId }: DownloadOptions,
  receiver: Receiver,
): TLSSocket {
  // The type of the options of TLS lacks `onread`, which Node.js passes on to the socket.
  const options: ConnectionOptions & { readonly onread: OnReadOpts } = {
    ...splitAddress(address),
    ...nodeTlsOptions(identity.current, nodeId),
    // Agents of the release before know gRPC only.
    ALPNProtocols: [DOWNLOAD_PROTOCOL, "h2"],
    onread: {
      buffer: Buffer.allocUnsafe(BUFFER_BYTES),
      callback: (count, buffer) => receiver.receive(buffer.subarray(0, count)),
    },
  };
  const socket = connect(options);
  receiver.start(socket);
  return socket;
}

/** Receives the reply and the content of one download. */
class Receiver {
  /** Resolves when all content was written. */
  readonly complete: Promise<void>;
  /** The error of `write`, or that with which the other side replied. Undefined when the connection failed. */
  error: unknown;
  readonly #write: DownloadOptions["write"];
  readonly #line = new LineReader();
  /** Copies of bytes that TLS had decrypted before reading stopped. Undefined while nothing is being written. */
  #queue: Uint8Array[] | undefined;
  #socket: TLSSocket | undefined;
  /** Error after which no more bytes arrive. */
  #lost: Error | undefined;
  /** Bytes that are still to come. Undefined before the reply. */
  #missingBytes: number | undefined;
  #finish: () => void = () => {};
  #fail: (error: unknown) => void = () => {};

  constructor(write: DownloadOptions["write"]) {
    this.#write = write;
    this.complete = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    // Callers that await `complete` see the error; this prevents an unhandled rejection for the others.
    this.complete.catch(() => {});
  }

  start(socket: TLSSocket): void {
    this.#socket = socket;
    socket.on("error", (error) => this.#lose(error));
    socket.on("end", () => this.#lose(new Error("the connection ended before the content was complete")));
    socket.on("close", () => this.#lose(new Error("the connection was closed")));
  }

  /** Takes the bytes in the buffer of the socket. Returns whether to go on reading. */
  receive(bytes: Uint8Array): boolean {
    if (this.#queue !== undefined) {
      this.#queue.push(new Uint8Array(bytes));
      return false;
    }
    let written: Promise<void> | undefined;
    try {
      written = this.#handle(bytes);
    } catch (error) {
      written = Promise.reject(error);
    }
    if (written === undefined) return true;
    this.#queue = [];
    written
      .then(() => this.#drain())
      .catch((error: unknown) => {
        this.error ??= error;
        this.#fail(error);
      });
    return false;
  }

  async #drain(): Promise<void> {
    for (let next = this.#queue?.shift(); next !== undefined; next = this.#queue?.shift()) {
      await this.#handle(next);
    }
    this.#queue = undefined;
    if (this.#lost !== undefined) this.#fail(this.#lost);
    this.#socket?.resume();
  }

  /** Fails the download, unless the queue completes it. */
  #lose(error: Error): void {
    this.#lost ??= error;
    if (this.#queue === undefined) this.#fail(error);
  }

  /** Returns a promise when the next bytes have to wait. */
  #handle(bytes: Uint8Array): Promise<void> | undefined {
    let content = bytes;
    if (this.#missingBytes === undefined) {
      const read = this.#line.add(bytes);
      if (read === undefined) return undefined;
      this.#missingBytes = sizeIn(parseReply(read.line));
      content = read.rest;
    }
    if (content.length > this.#missingBytes) throw tooLong();
    this.#missingBytes -= content.length;
    const isLast = this.#missingBytes === 0;
    const written = content.length === 0 ? undefined : this.#write(content);
    if (!isLast) return written;
    if (written === undefined) this.#finish();
    return written?.then(() => this.#finish());
  }
}

/** @throws BerthError the error in the reply */
function sizeIn(reply: DownloadReply): number {
  if (reply.kind === "error") throw reply.error;
  return reply.bytes;
}

function tooLong(): BerthError {
  const message = "the node sent more bytes than it had announced";
  return new BerthError({ code: "BERTH_PROTOCOL", message });
}

function unreachable({ address, nodeId }: DownloadOptions, error: unknown): BerthError {
  return new BerthError({
    code: "BERTH_NODE_UNREACHABLE",
    message: `cannot download from node ${nodeId} at ${address}: ${asError(error).message}`,
    cause: error,
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
