import { isResourceError } from "../../runtime/resource-error.js";
import type { Balancer, Upstream } from "../balancing/balancer.js";
import type { ByteStream, Transport } from "../transport/transport.js";
import type { Deadline, DeadlineTimer } from "./deadline-timer.js";

/** An endpoint in the same data center answers within a few ms; after this time, the next endpoint is tried as well. */
const ATTEMPT_TIMEOUT_MS = 200;
/** A client waits for an endpoint this long at most. */
const DIAL_TIMEOUT_MS = 3_000;

export interface DialOptions {
  readonly transport: Transport;
  readonly balancer: Balancer;
  readonly deadlines: DeadlineTimer;
  now(): number;
  /** Called only when the affinity depends on the address. */
  clientAddress(): string;
  /** Called before each attempt but the first. */
  onRetry(): void;
  /** Called once unless the dial is cancelled. The result is undefined when no endpoint accepted the connection. */
  onDone(result: DialResult | undefined): void;
}

/** An open connection to an endpoint. */
export interface DialResult {
  readonly upstream: Upstream;
  readonly stream: ByteStream;
}

interface Attempt {
  readonly upstream: Upstream;
  stream: ByteStream | undefined;
}

/**
 * Connects a client to an endpoint of its listener. When an attempt fails or takes longer than 200 ms, the next endpoint
 * is tried as well. Fails when all endpoints are tried, or after 3 s. The first attempt to connect wins, even a slow one:
 * on a busy host every endpoint may need more than 200 ms.
 */
export class Dial implements Deadline {
  readonly #options: DialOptions;
  readonly #triedUpstreams: Upstream[] = [];
  readonly #endMs: number;
  /** Pending attempts, the newest last. */
  #attempts: Attempt[] = [];
  isWaiting = true;
  deadlineMs = 0;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#endMs = options.now() + DIAL_TIMEOUT_MS;
    this.#tryNext();
    if (this.isWaiting) options.deadlines.add(this);
  }

  cancel(): void {
    if (!this.isWaiting) return;
    this.isWaiting = false;
    for (const { stream } of this.#attempts) stream?.close();
  }

  /** Called when the newest attempt is slow or the time is up. */
  expire(): void {
    const nowMs = this.#options.now();
    const newest = this.#attempts.at(-1);
    if (newest !== undefined) this.#options.balancer.recordFailure(newest.upstream, nowMs);
    if (nowMs >= this.#endMs) this.#giveUp();
    else this.#tryNext();
  }

  #tryNext(): void {
    const { balancer, transport } = this.#options;
    const nowMs = this.#options.now();
    const upstream =
      nowMs < this.#endMs
        ? balancer.pick(nowMs, this.#triedUpstreams, this.#options.clientAddress)
        : undefined;
    if (upstream === undefined) {
      if (this.#attempts.length === 0) this.#giveUp();
      this.deadlineMs = this.#endMs;
      return;
    }
    if (this.#triedUpstreams.length > 0) this.#options.onRetry();
    this.#triedUpstreams.push(upstream);
    this.deadlineMs = Math.min(this.#endMs, nowMs + ATTEMPT_TIMEOUT_MS);
    const attempt: Attempt = { upstream, stream: undefined };
    this.#attempts.push(attempt);
    const { address, port } = upstream.endpoint;
    attempt.stream = transport.connect({
      address,
      port,
      onConnect: (code) => this.#onAttemptDone(attempt, code),
    });
  }

  #onAttemptDone(attempt: Attempt, code: string | undefined): void {
    const { balancer } = this.#options;
    const { upstream, stream } = attempt;
    if (!this.isWaiting || stream === undefined) return;
    const wasNewest = this.#attempts.at(-1) === attempt;
    this.#attempts = this.#attempts.filter((other) => other !== attempt);
    if (code === undefined && upstream.state === "serving") {
      this.cancel();
      balancer.recordSuccess(upstream);
      upstream.total += 1;
      this.#options.onDone({ upstream, stream });
      return;
    }
    stream.close();
    if (code !== undefined && !isResourceError(code)) balancer.recordFailure(upstream, this.#options.now());
    if (wasNewest) this.#tryNext();
  }

  #giveUp(): void {
    this.cancel();
    this.#options.onDone(undefined);
  }
}
