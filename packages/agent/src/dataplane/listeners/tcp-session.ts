import type { Balancer, Upstream } from "../balancing/balancer.js";
import { proxyHeader } from "../transport/proxy-header.js";
import type { ByteStream, Transport } from "../transport/transport.js";
import type { Admission } from "./admission.js";
import type { DeadlineTimer } from "./deadline-timer.js";
import { Dial, type DialResult } from "./dial.js";
import type { HoldQueue } from "./hold-queue.js";
import type { ListenerCounters } from "./listener-stats.js";
import { TcpRelay } from "./relay.js";

/** The parts of a TCP listener that its sessions use. */
export interface SessionContext {
  readonly transport: Transport;
  readonly deadlines: DeadlineTimer;
  readonly admission: Admission;
  readonly balancer: Balancer;
  readonly holdQueue: HoldQueue;
  readonly counters: ListenerCounters;
  now(): number;
  /** Returns how long a client may wait for a usable endpoint, in ms. */
  holdMs(): number;
  usesProxyProtocol(): boolean;
}

/**
 * A client's connection to a TCP listener: waits for admission if the process is at its limit, connects to an endpoint,
 * and relays until either side closes.
 */
export class TcpSession {
  readonly #context: SessionContext;
  readonly #client: ByteStream;
  readonly #relay: TcpRelay;
  #isAdmitted = false;
  #leaveQueue: (() => void) | undefined;
  #dial: Dial | undefined;
  #upstream: Upstream | undefined;

  private constructor(client: ByteStream, context: SessionContext) {
    this.#client = client;
    this.#context = context;
    this.#relay = new TcpRelay(client, () => this.#onClosed());
  }

  /** Serves a client that has just connected. */
  static start(client: ByteStream, context: SessionContext): void {
    const { admission, counters } = context;
    counters.total += 1;
    counters.active += 1;
    const session = new TcpSession(client, context);
    if (admission.tryAcquire()) session.#connect();
    else session.#waitForAdmission();
  }

  #waitForAdmission(): void {
    const { admission } = this.#context;
    this.#leaveQueue = admission.wait(
      () => this.#connect(),
      () => this.#refuse(),
    );
    if (this.#leaveQueue === undefined) this.#refuse();
  }

  #connect(): void {
    const { transport, balancer, deadlines, holdQueue, counters, now, holdMs } = this.#context;
    this.#isAdmitted = true;
    this.#dial = new Dial({
      transport,
      balancer,
      deadlines,
      holdQueue,
      now,
      holdMs,
      clientAddress: () => this.#client.addresses()?.remoteAddress ?? "",
      onRetry: () => {
        counters.retried += 1;
      },
      onDone: (result) => this.#onDialed(result),
    });
  }

  #onDialed(result: DialResult | undefined): void {
    if (result === undefined) {
      this.#refuse();
      return;
    }
    const { upstream, stream } = result;
    this.#upstream = upstream;
    upstream.connections.add(this.#relay);
    const header = this.#context.usesProxyProtocol() ? proxyHeader(this.#client.addresses()) : undefined;
    this.#relay.attach(stream, header);
  }

  #refuse(): void {
    this.#context.counters.failed += 1;
    this.#relay.abort();
  }

  #onClosed(): void {
    const { admission, counters } = this.#context;
    counters.active -= 1;
    this.#leaveQueue?.();
    if (this.#isAdmitted) admission.release();
    this.#dial?.cancel();
    this.#upstream?.connections.delete(this.#relay);
  }
}
