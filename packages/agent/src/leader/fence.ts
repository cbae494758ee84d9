import { AGENT_FENCES_AFTER_MS } from "@berth/proto";
import type { Logger } from "pino";

export interface FenceOptions {
  /** Called when this node is fenced, and when it is in contact with the leader again. */
  readonly onChange: () => void;
  readonly log: Logger;
}

/**
 * Decides whether the leader may have declared this node dead. While that is possible, the node is fenced: its
 * at-most-one tasks must not run.
 *
 * The time counts from when the agent sent the last acknowledged heartbeat, by the agent's own clock. The leader
 * received the heartbeat later, so it starts no replacement before this node has stopped its task. This holds while the
 * agent runs. An agent that was killed, or suspended by its kernel, stops nothing: the leader then waits until other
 * nodes report that this host is silent. Two instances can run only if the host was also cut off from those nodes and
 * its agent was dead already.
 */
export class Fence {
  readonly #options: FenceOptions;
  #lastContactMs = performance.now();
  #needsAcks = false;
  #wasFenced = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FenceOptions) {
    this.#options = options;
    this.#evaluate();
  }

  get isFenced(): boolean {
    return performance.now() - this.#lastContactMs >= AGENT_FENCES_AFTER_MS;
  }

  /** Whether at-most-one tasks wait for the leader's acknowledgement. */
  get needsAck(): boolean {
    return this.#needsAcks && this.isFenced;
  }

  /** Requests an acknowledgement with each heartbeat from now on. Called once the node has at-most-one tasks. */
  requestAcks(): void {
    this.#needsAcks = true;
  }

  /** Returns the ID of the heartbeat being sent (its time in ms), or 0 when it needs no acknowledgement. */
  heartbeatNumber(): number {
    return this.#needsAcks ? Math.max(1, Math.floor(performance.now())) : 0;
  }

  /** Records that the leader acknowledged a message that was sent at `sentMs`. */
  recordAck(sentMs: number): void {
    if (sentMs <= this.#lastContactMs || sentMs > performance.now()) return;
    this.#lastContactMs = sentMs;
    if (this.#wasFenced) this.#evaluate();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #evaluate(): void {
    const { onChange, log } = this.#options;
    clearTimeout(this.#timer);
    const { isFenced } = this;
    if (!isFenced) {
      const leftMs = this.#lastContactMs + AGENT_FENCES_AFTER_MS - performance.now();
      this.#timer = setTimeout(() => this.#evaluate(), Math.ceil(leftMs));
    }
    if (isFenced === this.#wasFenced) return;
    this.#wasFenced = isFenced;
    if (this.#needsAcks && isFenced) {
      log.warn(
        { timeoutMs: AGENT_FENCES_AFTER_MS },
        "no acknowledgement from the leader; stopping at-most-one tasks",
      );
    } else if (this.#needsAcks) {
      log.info("in contact with the leader; at-most-one tasks may run");
    }
    onChange();
  }
}
