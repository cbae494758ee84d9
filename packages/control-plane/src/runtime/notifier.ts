import { onAbort } from "./abort.js";

/** Wakes everyone who waits. Who comes later waits for the next ring. */
export class Notifier {
  #waiting = new Set<() => void>();

  notifyAll(): void {
    const woken = this.#waiting;
    this.#waiting = new Set();
    for (const wake of woken) wake();
  }

  /** Resolves at the next ring, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        forget();
        resolve();
      };
      const forget = onAbort(signal, () => {
        this.#waiting.delete(wake);
        resolve();
      });
      if (!signal.aborted) this.#waiting.add(wake);
    });
  }
}
