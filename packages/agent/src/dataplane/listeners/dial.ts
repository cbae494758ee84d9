import { isResourceError } from "../../runtime/resource-error.js";
import type { Balancer, Upstream } from "../balancing/balancer.js";
import type { ByteStream, Transport } from "../transport/transport.js";
import type { Deadline, DeadlineTimer } from "./deadline-timer.js";
import type { HeldClient, HoldQueue } from "./hold-queue.js";

/** Time after which the next endpoint is tried as well. An endpoint in the same data center answers within a few ms. */
const ATTEMPT_TIMEOUT_MS = 200;
/** Maximum time that a client waits for a slow endpoint, unless it may wait longer for a usable one. */
const DIAL_TIMEOUT_MS = 3_000;

export interface DialOptions {
  readonly transport: Transport;
  readonly balancer: Balancer;
  readonly deadlines: DeadlineTimer;
  readonly holdQueue: HoldQueue;
  now(): number;
  /** Returns how long the client may wait for a usable endpoint, in ms since it has connected. */
  holdMs(): number;
  /** Called only when the affinity depends on the address. */
  clientAddress(): string;
  /** Called before each attempt but the first. */
  onRetry(): void;
  /** Called once unless the dial is canceled. The result is undefined if no endpoint accepted the connection. */
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
  isSlow: boolean;
}

/**
 * Connects a client to an endpoint of its listener. When an attempt fails or takes longer than 200 ms, the next endpoint
 * is tried as well. The first attempt to connect wins, even a slow one: on a busy host every endpoint may need more than
 * 200 ms. When all endpoints have failed, the client is held until one is usable. Fails when the client may not be held,
 * when its hold ends, when no endpoint listens, or when slow endpoints have not answered after 3 s.
 */
export class Dial implements Deadline, HeldClient {
  readonly #options: DialOptions;
  readonly #startMs: number;
  #triedUpstreams: Upstream[] = [];
  #attemptCount = 0;
  /** Pending attempts, the newest last. */
  #attempts: Attempt[] = [];
  isWaiting = true;
  deadlineMs = 0;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#startMs = options.now();
    this.#tryNext();
    if (this.isWaiting) options.deadlines.add(this);
  }

  cancel(): void {
    if (!this.isWaiting) return;
    this.isWaiting = false;
    this.#options.holdQueue.remove(this);
    for (const { stream } of this.#attempts) stream?.close();
  }

  /** Called when the newest attempt is slow, when endpoints may have changed, or when the time is up. */
  expire(): void {
    const { balancer, now } = this.#options;
    const nowMs = now();
    const newest = this.#attempts.at(-1);
    if (newest?.isSlow === false) {
      newest.isSlow = true;
      balancer.recordFailure(newest.upstream, nowMs);
    }
    if (nowMs >= this.#endMs) this.#giveUp();
    else this.#tryNext();
  }

  retry(): boolean {
    if (!this.isWaiting) return false;
    this.#closeRemovedAttempts();
    if (this.#attempts.length > 0) return false;
    this.#tryNext();
    return this.#attempts.length > 0;
  }

  refuse(): void {
    if (this.isWaiting) this.#giveUp();
  }

  get #endMs(): number {
    return this.#startMs + Math.max(DIAL_TIMEOUT_MS, this.#options.holdMs());
  }

  #tryNext(): void {
    const { balancer, transport, now, onRetry, clientAddress } = this.#options;
    const nowMs = now();
    this.#closeRemovedAttempts();
    const upstream = balancer.pick(nowMs, this.#triedUpstreams, clientAddress);
    if (upstream === undefined && this.#attempts.length === 0) {
      this.#hold(nowMs);
      return;
    }
    this.deadlineMs = Math.min(this.#endMs, nowMs + ATTEMPT_TIMEOUT_MS);
    if (upstream === undefined) return;
    if (this.#attemptCount > 0) onRetry();
    this.#attemptCount += 1;
    this.#triedUpstreams.push(upstream);
    const attempt: Attempt = { upstream, stream: undefined, isSlow: false };
    this.#attempts.push(attempt);
    const { address, port } = upstream.endpoint;
    attempt.stream = transport.connect({
      address,
      port,
      onConnect: (code) => this.#onAttemptDone(attempt, code),
    });
  }

  /** Waits in the queue until endpoints may be usable again. Fails when the client may not wait, or not any longer. */
  #hold(nowMs: number): void {
    const { balancer, holdMs, holdQueue } = this.#options;
    if (balancer.isRefusing(nowMs)) {
      this.#giveUp();
      holdQueue.refuseAll();
      return;
    }
    const endMs = this.#startMs + holdMs();
    if (nowMs >= endMs || !holdQueue.add(this)) {
      this.#giveUp();
      return;
    }
    this.#triedUpstreams = [];
    this.deadlineMs = endMs;
  }

  /** Closes the attempts to connect to endpoints that have left the listener. Their hosts may never answer. */
  #closeRemovedAttempts(): void {
    const isRemoved = ({ upstream }: Attempt): boolean => upstream.state === "removed";
    for (const { stream } of this.#attempts.filter(isRemoved)) stream?.close();
    this.#attempts = this.#attempts.filter((attempt) => !isRemoved(attempt));
  }

  #onAttemptDone(attempt: Attempt, code: string | undefined): void {
    const { balancer, holdQueue, onDone, now } = this.#options;
    const { upstream, stream } = attempt;
    if (!this.isWaiting || stream === undefined || !this.#attempts.includes(attempt)) return;
    const wasNewest = this.#attempts.at(-1) === attempt;
    this.#attempts = this.#attempts.filter((other) => other !== attempt);
    if (code === undefined && upstream.state === "serving") {
      this.cancel();
      balancer.recordSuccess(upstream);
      upstream.total += 1;
      onDone({ upstream, stream });
      holdQueue.retryAll();
      return;
    }
    stream.close();
    if (code === "ECONNREFUSED") balancer.recordRefusal(upstream, now());
    else if (code !== undefined && !isResourceError(code)) balancer.recordFailure(upstream, now());
    if (wasNewest) this.#tryNext();
  }

  #giveUp(): void {
    this.#options.holdQueue.removeRefused(this);
    this.cancel();
    this.#options.onDone(undefined);
  }
}
