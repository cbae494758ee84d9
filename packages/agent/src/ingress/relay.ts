import type { Carried } from "./balancer.js";
import type { ByteStream, StreamHandler } from "./byte-stream.js";

/**
 * Carries bytes both ways between a client and an endpoint until both have ended or one breaks.
 * At most one chunk a direction waits here: the source is paused while the sink is full.
 * The client is read from the start, so that its first chunk, or its reset, is there when the endpoint answers.
 */
export class Relay implements Carried {
  readonly #client: ByteStream;
  readonly #onClosed: () => void;
  readonly #fromClient: Direction;
  #endpoint: ByteStream | undefined;
  #open = true;

  constructor(client: ByteStream, onClosed: () => void) {
    this.#client = client;
    this.#onClosed = onClosed;
    this.#fromClient = new Direction(this, client);
    client.read(this.#fromClient);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Joins the two ends: what the client sent until now goes out first. */
  attach(endpoint: ByteStream): void {
    this.#endpoint = endpoint;
    const fromEndpoint = new Direction(this, endpoint);
    fromEndpoint.connect(this.#client, this.#fromClient);
    this.#fromClient.connect(endpoint, fromEndpoint);
    this.#fromClient.flush();
    if (this.#open) endpoint.read(fromEndpoint);
  }

  /** Resets both sides: neither may take a broken connection for an orderly end. */
  abort(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#client.reset();
    this.#endpoint?.reset();
    this.#onClosed();
  }

  /** Both sides have sent FIN and everything was passed on. */
  finish(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#client.close();
    this.#endpoint?.close();
    this.#onClosed();
  }
}

/** One way through a relay. Its object is also the handler of the stream it reads, to spare a closure per event. */
class Direction implements StreamHandler {
  private readonly relay: Relay;
  private readonly source: ByteStream;
  private sink: ByteStream | undefined;
  private opposite: Direction | undefined;
  /** What came before there was a sink. */
  private early: Uint8Array | undefined;
  private hasEnded = false;
  private isBlocked = false;

  constructor(relay: Relay, source: ByteStream) {
    this.relay = relay;
    this.source = source;
  }

  connect(sink: ByteStream, opposite: Direction): void {
    this.sink = sink;
    this.opposite = opposite;
  }

  /** Passes on what came before there was a sink. */
  flush(): void {
    const early = this.early;
    if (early === undefined) {
      if (this.hasEnded) this.sink?.end();
      return;
    }
    this.early = undefined;
    this.send(early);
    if (!this.isBlocked && this.relay.isOpen) this.source.read(this);
  }

  onData(chunk: Uint8Array): void {
    if (this.sink === undefined) {
      this.early = new Uint8Array(chunk);
      this.source.pause();
      return;
    }
    this.send(chunk);
    if (this.isBlocked) this.source.pause();
  }

  onEnd(): void {
    this.hasEnded = true;
    if (this.opposite?.hasEnded === true) this.relay.finish();
    else this.sink?.end();
  }

  /** The stream we read from has taken what the other direction wrote into it. */
  onWritten(): void {
    this.opposite?.unblock();
  }

  onError(): void {
    this.relay.abort();
  }

  private send(chunk: Uint8Array): void {
    const outcome = this.sink?.write(chunk);
    if (outcome === "queued") this.isBlocked = true;
    else if (outcome === "failed") this.relay.abort();
  }

  private unblock(): void {
    if (!this.isBlocked) return;
    this.isBlocked = false;
    this.source.read(this);
  }
}
