import { onAbort } from "./abort.js";

/**
 * Time as an injected thing: real in a process, virtual in a simulation.
 * `nowMs` is monotonic and has no meaning but its differences.
 */
export interface Clock {
  nowMs(): number;
  /** Runs `run` once after `delayMs`; the returned function cancels that. */
  after(delayMs: number, run: () => void): () => void;
}

/** The process's monotonic clock. It goes on while the process is stopped, which lease deadlines rely on. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts: look at the signal afterwards. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const cancel = clock.after(delayMs, () => {
      forget();
      resolve();
    });
    const forget = onAbort(signal, () => {
      cancel();
      resolve();
    });
  });
}
