import type { ActiveConnection } from "../balancing/balancer.js";
import type { ByteStream, StreamHandler } from "../transport/transport.js";

/**
 * Maximum number of bytes that are read from the client before an endpoint is connected. Most clients send one request
 * first; pausing them at once would cost two system calls per connection.
 */
const MAX_EARLY_BYTES = 32_768;

/**
 * Copies bytes both ways between a client and an endpoint until both have sent FIN or one fails. Buffers at most one
 * chunk per direction: the source is paused while the sink is full. Before the endpoint is connected, it buffers less
 * than MAX_EARLY_BYTES plus one chunk of at most 64 KiB. Reads the client from the start, so that its first chunk or its
 * reset has already arrived when the endpoint connects.
 */
export class TcpRelay implements ActiveConnection {
  readonly #client: ByteStream;
  readonly #onClosed: () => void;
  readonly #fromClient: Direction;
  #endpoint: ByteStream | undefined;
  #isOpen = true;

  constructor(client: ByteStream, onClosed: () => void) {
    this.#client = client;
    this.#onClosed = onClosed;
    this.#fromClient = new Direction(this, client);
    client.read(this.#fromClient);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Starts the copy to and from the endpoint. The preface is sent first, followed by the bytes read so far. */
  attach(endpoint: ByteStream, preface?: Uint8Array): void {
    this.#endpoint = endpoint;
    const fromEndpoint = new Direction(this, endpoint);
    fromEndpoint.connect(this.#client, this.#fromClient);
    this.#fromClient.connect(endpoint, fromEndpoint);
    if (preface !== undefined) this.#fromClient.prepend(preface);
    this.#fromClient.flush();
    if (this.#isOpen) endpoint.read(fromEndpoint);
  }

  /** Resets both connections, so that neither side mistakes the failure for an orderly end. */
  abort(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#client.reset();
    this.#endpoint?.reset();
    this.#onClosed();
  }

  /** Closes both connections after both have sent FIN and all bytes were written. */
  finish(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#client.close();
    this.#endpoint?.close();
    this.#onClosed();
  }
}

/**
 * One direction of a relay. It is also the handler of the stream that it reads, which saves a closure per event. Its
 * fields are `private`, because an optional chain such as `opposite?.hasEnded` cannot contain `#private` names.
 */
class Direction implements StreamHandler {
  private readonly relay: TcpRelay;
  private readonly source: ByteStream;
  private sink: ByteStream | undefined;
  private opposite: Direction | undefined;
  /** Bytes read before the sink was known. */
  private early: Uint8Array | undefined;
  private hasEnded = false;
  private isBlocked = false;

  constructor(relay: TcpRelay, source: ByteStream) {
    this.relay = relay;
    this.source = source;
  }

  connect(sink: ByteStream, opposite: Direction): void {
    this.sink = sink;
    this.opposite = opposite;
  }

  /** Inserts bytes before the bytes read so far. */
  prepend(preface: Uint8Array): void {
    this.early = this.early === undefined ? preface : Buffer.concat([preface, this.early]);
  }

  /** Writes the bytes read before the sink was known. */
  flush(): void {
    const early = this.early;
    this.early = undefined;
    if (early !== undefined) this.send(early);
    if (!this.relay.isOpen) return;
    if (this.isBlocked) this.source.pause();
    else if (this.hasEnded) this.sink?.end();
    else if (this.isEarlyBufferFull(early)) this.source.read(this);
  }

  onData(chunk: Uint8Array): void {
    if (this.sink === undefined) {
      this.bufferEarly(chunk);
      return;
    }
    this.send(chunk);
    if (this.isBlocked) this.source.pause();
  }

  onEnd(): void {
    this.hasEnded = true;
    if (this.isBlocked) return;
    if (this.opposite?.hasEnded === true && !this.opposite.isBlocked) this.relay.finish();
    else this.sink?.end();
  }

  /** Called when the source has written the bytes that the opposite direction queued on it. */
  onWritten(): void {
    this.opposite?.unblock();
  }

  onError(): void {
    this.relay.abort();
  }

  private bufferEarly(chunk: Uint8Array): void {
    this.early = this.early === undefined ? new Uint8Array(chunk) : Buffer.concat([this.early, chunk]);
    if (this.isEarlyBufferFull(this.early)) this.source.pause();
  }

  private isEarlyBufferFull(early: Uint8Array | undefined): boolean {
    return early !== undefined && early.byteLength >= MAX_EARLY_BYTES;
  }

  private send(chunk: Uint8Array): void {
    const outcome = this.sink?.write(chunk);
    if (outcome === "queued") this.isBlocked = true;
    else if (outcome === "failed") this.relay.abort();
  }

  private unblock(): void {
    if (!this.isBlocked) return;
    this.isBlocked = false;
    if (this.hasEnded) this.onEnd();
    else this.source.read(this);
  }
}
