import { FENCE_AFTER_MS } from "@berth/proto";
import type { Logger } from "pino";

export interface FenceOptions {
  /** This host has just been cut off, or is in contact again. */
  readonly onChange: () => void;
  readonly log: Logger;
}

/**
 * Knows whether the leader may think that this host is dead. At-most-one tasks must not run here then.
 *
 * Time counts from when the last heartbeat was sent that the leader acknowledged, by this process's own clock: the
 * leader heard it later than that, so it starts nothing elsewhere before this host has stopped its own. That holds
 * while the agent runs. One that was killed, or that is held by its kernel, stops nothing: the leader then needs the
 * word of others that the host itself is silent, and two may run if the host was only cut off and its agent was dead
 * already.
 */
export class Fence {
  readonly #options: FenceOptions;
  #contactMs = performance.now();
  #isGuarding = false;
  #wasCutOff = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FenceOptions) {
    this.#options = options;
    this.#look();
  }

  get isFenced(): boolean {
    return performance.now() - this.#contactMs >= FENCE_AFTER_MS;
  }

  /** At-most-one tasks wait for the leader's word. */
  get needsContact(): boolean {
    return this.#isGuarding && this.isFenced;
  }

  /** There are at-most-one tasks here: from now on heartbeats ask to be acknowledged. */
  guard(): void {
    this.#isGuarding = true;
  }

  /** Names a heartbeat by when it is sent; 0: it needs no answer. */
  heartbeatNumber(): number {
    return this.#isGuarding ? Math.max(1, Math.floor(performance.now())) : 0;
  }

  /** The leader has heard what was said at `sentMs`. */
  acknowledged(sentMs: number): void {
    if (sentMs <= this.#contactMs || sentMs > performance.now()) return;
    this.#contactMs = sentMs;
    if (this.#wasCutOff) this.#look();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const { onChange, log } = this.#options;
    clearTimeout(this.#timer);
    const { isFenced: isCutOff } = this;
    if (!isCutOff) {
      const leftMs = this.#contactMs + FENCE_AFTER_MS - performance.now();
      this.#timer = setTimeout(() => this.#look(), Math.ceil(leftMs));
    }
    if (isCutOff === this.#wasCutOff) return;
    this.#wasCutOff = isCutOff;
    if (this.#isGuarding) log.warn(isCutOff ? CUT_OFF : "in contact with the leader again");
    onChange();
  }
}

const CUT_OFF = `the leader has confirmed nothing for ${FENCE_AFTER_MS / 1_000} s: at-most-one tasks are stopped`;
