import { onAbort } from "./abort.js";

/** Wakes all waiters at once, like a condition variable. A notification without waiters has no effect. */
export class Notifier {
  #waiting = new Set<() => void>();

  notifyAll(): void {
    const woken = this.#waiting;
    this.#waiting = new Set();
    for (const wake of woken) wake();
  }

  /** Resolves at the next notification, or when `signal` is aborted. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const wake = (): void => {
        this.#waiting.delete(wake);
        removeListener();
        resolve();
      };
      this.#waiting.add(wake);
      const removeListener = onAbort(signal, wake);
    });
  }
}
