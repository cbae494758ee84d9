import type { AuditedCall } from "../../core/audit/audit-record.js";
import { RefusedCalls } from "../../core/audit/refused-calls.js";
import { onAbort } from "../../runtime/abort.js";
import type { Clock } from "../../runtime/clock.js";

/**
 * Minimum interval between two writes of refused calls. Limits the writes that clients without permissions can cause.
 */
const INTERVAL_MS = 10_000;

export interface RefusalQueueOptions {
  readonly clock: Clock;
  /** Writes calls, of which each stands for a group of equal ones. Never rejects. */
  readonly write: (calls: readonly AuditedCall[]) => Promise<void>;
  /** Ends all writes. */
  readonly signal: AbortSignal;
}

/**
 * Writes refused calls: at once, or with others after an interval. Calls that wait when the signal is aborted are lost.
 */
export class RefusalQueue {
  readonly #options: RefusalQueueOptions;
  readonly #refused = new RefusedCalls();
  #isScheduled = false;
  #lastWriteMs = Number.NEGATIVE_INFINITY;

  constructor(options: RefusalQueueOptions) {
    this.#options = options;
  }

  add(call: AuditedCall): void {
    this.#refused.add(call, this.#options.clock.nowMs());
    this.#schedule();
  }

  #schedule(): void {
    const { clock, signal } = this.#options;
    if (this.#isScheduled || this.#refused.isEmpty || signal.aborted) return;
    this.#isScheduled = true;
    const waitMs = Math.max(0, this.#lastWriteMs + INTERVAL_MS - clock.nowMs());
    const cancel = clock.after(waitMs, () => {
      removeListener();
      void this.#writeDue();
    });
    const removeListener = onAbort(signal, cancel);
  }

  async #writeDue(): Promise<void> {
    const { clock, write } = this.#options;
    this.#lastWriteMs = clock.nowMs();
    const due = this.#refused.take(this.#lastWriteMs);
    if (due.length > 0) await write(due);
    this.#isScheduled = false;
    this.#schedule();
  }
}
