import type { SimAgentObserver } from "./sim-agent.js";

/** How often to check for interruption and timeout while no event arrives. */
const CHECK_INTERVAL_MS = 1_000;

/** Counts the messages that all simulated agents have received. */
export class AgentCounters implements SimAgentObserver {
  assigned = 0;
  stopped = 0;
  stored = 0;
  /** Number of agents that have received a complete set of assignments, by the leader's epoch. */
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

  /** The epoch of the newest leader. */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * Waits until the condition is true and returns `performance.now()`.
   *
   * @throws Error after the timeout
   */
  async waitUntil(
    what: string,
    isReached: () => boolean,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<number> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!isReached()) {
      signal.throwIfAborted();
      if (performance.now() > deadlineMs) throw new Error(`timed out after ${timeoutMs} ms: ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CHECK_INTERVAL_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return performance.now();
  }
}
