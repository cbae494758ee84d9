import type { Balancer, Upstream } from "../balancing/balancer.js";
import type { ByteStream, Transport } from "../transport/transport.js";
import type { Deadline, Deadlines } from "./deadlines.js";
import { isLocalFailure } from "./local-failure.js";

/** An endpoint in the same network answers in a few milliseconds; after this the next one is tried beside it. */
const ATTEMPT_MS = 200;
/** A client waits this long at most before it is told that nobody answers. */
const BUDGET_MS = 3_000;

export interface DialOptions {
  readonly transport: Transport;
  readonly balancer: Balancer;
  readonly deadlines: Deadlines;
  now(): number;
  /** Of the client, where the choice depends on it. */
  clientAddress(): string;
  onRetry(): void;
  /** Called once, unless cancelled: the stream is connected, or no endpoint took the connection. */
  onDone(result: { readonly upstream: Upstream; readonly stream: ByteStream } | undefined): void;
}

interface Attempt {
  readonly upstream: Upstream;
  stream: ByteStream | undefined;
}

/**
 * Connects to the endpoint whose turn it is, to the next one when that fails or is slow, and so on through all distinct
 * endpoints within 3 s. A slow attempt is not given up: the first to connect wins. On a busy machine every endpoint may
 * need longer than 200 ms, and then slow is better than refused.
 */
export class Dial implements Deadline {
  readonly #options: DialOptions;
  readonly #tried: Upstream[] = [];
  readonly #endMs: number;
  /** Under way, the newest last. */
  #attempts: Attempt[] = [];
  isWaiting = true;
  deadlineMs = 0;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#endMs = options.now() + BUDGET_MS;
    this.#next();
    if (this.isWaiting) options.deadlines.add(this);
  }

  cancel(): void {
    if (!this.isWaiting) return;
    this.isWaiting = false;
    for (const { stream } of this.#attempts) stream?.close();
  }

  /** The newest attempt is slow, or the time is up. */
  expire(): void {
    const nowMs = this.#options.now();
    const newest = this.#attempts.at(-1);
    if (newest !== undefined) this.#options.balancer.failed(newest.upstream, nowMs);
    if (nowMs >= this.#endMs) this.#giveUp();
    else this.#next();
  }

  #next(): void {
    const { balancer, transport } = this.#options;
    const nowMs = this.#options.now();
    const upstream =
      nowMs < this.#endMs ? balancer.pick(nowMs, this.#tried, this.#options.clientAddress) : undefined;
    if (upstream === undefined) {
      if (this.#attempts.length === 0) this.#giveUp();
      this.deadlineMs = this.#endMs;
      return;
    }
    if (this.#tried.length > 0) this.#options.onRetry();
    this.#tried.push(upstream);
    this.deadlineMs = Math.min(this.#endMs, nowMs + ATTEMPT_MS);
    const attempt: Attempt = { upstream, stream: undefined };
    this.#attempts.push(attempt);
    const { address, port } = upstream.endpoint;
    attempt.stream = transport.connect({ address, port, onConnect: (code) => this.#settle(attempt, code) });
  }

  #settle(attempt: Attempt, code: string | undefined): void {
    const { balancer } = this.#options;
    const { upstream, stream } = attempt;
    if (!this.isWaiting || stream === undefined) return;
    const wasNewest = this.#attempts.at(-1) === attempt;
    this.#attempts = this.#attempts.filter((other) => other !== attempt);
    if (code === undefined && upstream.state === "serving") {
      this.cancel();
      balancer.recovered(upstream);
      upstream.total += 1;
      this.#options.onDone({ upstream, stream });
      return;
    }
    stream.close();
    if (code !== undefined && !isLocalFailure(code)) balancer.failed(upstream, this.#options.now());
    if (wasNewest) this.#next();
  }

  #giveUp(): void {
    this.cancel();
    this.#options.onDone(undefined);
  }
}
