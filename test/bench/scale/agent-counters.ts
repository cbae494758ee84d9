import type { SimAgentObserver } from "./sim-agent.js";

/** How soon an interruption is noticed while nothing happens. */
const LOOK_MS = 1_000;

/** What all agents together have seen, and when the last of it came. */
export class AgentCounters implements SimAgentObserver {
  assigned = 0;
  stopped = 0;
  stored = 0;
  /** Agents that have a complete set from a leader, by the leader's epoch. */
  readonly setsByEpoch = new Map<number, number>();
  /** `performance.now()` of the first welcome by each leader. */
  readonly firstWelcomeMs = new Map<number, number>();
  #epoch = 0;
  #wake: () => void = () => {};

  onWelcome(epoch: number): void {
    if (!this.firstWelcomeMs.has(epoch)) this.firstWelcomeMs.set(epoch, performance.now());
    this.#epoch = Math.max(this.#epoch, epoch);
  }

  onCompleteSet(): void {
    this.setsByEpoch.set(this.#epoch, (this.setsByEpoch.get(this.#epoch) ?? 0) + 1);
    this.#wake();
  }

  onAssigned(tasks: number): void {
    this.assigned += tasks;
    this.#wake();
  }

  onStopped(tasks: number): void {
    this.stopped += tasks;
    this.#wake();
  }

  onStored(tasks: number): void {
    this.stored += tasks;
    this.#wake();
  }

  /** The leader that was heard last. */
  get epoch(): number {
    return this.#epoch;
  }

  /** `performance.now()` of the moment at which `isReached` became true. @throws when it has not within the time-out */
  async waitUntil(
    what: string,
    isReached: () => boolean,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<number> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!isReached()) {
      signal.throwIfAborted();
      if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return performance.now();
  }
}
