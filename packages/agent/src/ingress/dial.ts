import type { Balancer, Upstream } from "./balancer.js";
import type { ByteStream, Transport } from "./byte-stream.js";
import type { Deadline, Deadlines } from "./deadlines.js";
import { isLocalFailure } from "./local-failure.js";

/** An endpoint in the same network answers in a few milliseconds; one that has not after this is tried no longer. */
const ATTEMPT_MS = 200;
/** A client waits this long at most before it is told that nobody answers. */
const BUDGET_MS = 3_000;

export interface DialOptions {
  readonly transport: Transport;
  readonly balancer: Balancer;
  readonly deadlines: Deadlines;
  now(): number;
  onRetry(): void;
  /** Called once, unless cancelled: the stream is connected, or no endpoint took the connection. */
  onDone(result: { readonly upstream: Upstream; readonly stream: ByteStream } | undefined): void;
}

/**
 * Connects to the endpoint whose turn it is, to the next one when that fails, and so on through all distinct
 * endpoints within 3 s. The last one left gets all the remaining time: slow is better than refused.
 */
export class Dial implements Deadline {
  readonly #options: DialOptions;
  readonly #tried: Upstream[] = [];
  readonly #endMs: number;
  #stream: ByteStream | undefined;
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
    this.#stream?.close();
  }

  /** The attempt took too long. */
  expire(): void {
    this.#settle("ETIMEDOUT");
  }

  #next(): void {
    const { balancer, transport } = this.#options;
    const nowMs = this.#options.now();
    const upstream = nowMs < this.#endMs ? balancer.pick(nowMs, this.#tried) : undefined;
    if (upstream === undefined) {
      this.isWaiting = false;
      this.#options.onDone(undefined);
      return;
    }
    if (this.#tried.length > 0) this.#options.onRetry();
    this.#tried.push(upstream);
    const isLast = this.#tried.length >= balancer.size;
    this.deadlineMs = isLast ? this.#endMs : Math.min(this.#endMs, nowMs + ATTEMPT_MS);
    const { address, port } = upstream.endpoint;
    this.#stream = transport.connect({ address, port, onConnect: (code) => this.#settle(code) });
  }

  #settle(code: string | undefined): void {
    const { balancer } = this.#options;
    const stream = this.#stream;
    const upstream = this.#tried.at(-1);
    if (!this.isWaiting || stream === undefined || upstream === undefined) return;
    if (code === undefined && upstream.state === "serving") {
      this.isWaiting = false;
      balancer.recovered(upstream);
      upstream.total += 1;
      this.#options.onDone({ upstream, stream });
      return;
    }
    stream.close();
    this.#stream = undefined;
    if (code !== undefined && !isLocalFailure(code)) balancer.failed(upstream, this.#options.now());
    this.#next();
  }
}
