import { onAbort } from "./abort.js";

/** Monotonic time and timers. A simulation injects virtual time. */
export interface Clock {
  /** Returns the time in ms since an arbitrary moment. Only differences have a meaning. */
  nowMs(): number;
  /** Calls `run` once after `delayMs`. The returned function cancels the timer. */
  after(delayMs: number, run: () => void): () => void;
}

/** The process's monotonic clock. It keeps running while the process is stopped (SIGSTOP); lease deadlines rely on that. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs` or when `signal` is aborted, whichever is first. Check the signal afterwards. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const cancel = clock.after(delayMs, () => {
      removeListener();
      resolve();
    });
    const removeListener = onAbort(signal, () => {
      cancel();
      resolve();
    });
  });
}
