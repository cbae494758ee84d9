import type { SimAgentObserver } from "./sim-agent.js";

/** Interval at which an interruption is checked while no event arrives. */
const LOOK_MS = 1_000;

/** Counts what all agents together have received. */
export class AgentCounters implements SimAgentObserver {
  assigned = 0;
  stopped = 0;
  stored = 0;
  /** Number of agents with a complete set of assignments, by the leader's epoch. */
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

  /** Resolves with `performance.now()` once the condition is true. @throws Error after the timeout */
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
