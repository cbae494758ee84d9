import { setMaxListeners } from "node:events";

/**
 * Runs `run` once when `signal` aborts, at once if it has; the returned function takes that back.
 * One signal may have hundreds of listeners here, a call in flight each, so Node's warning about leaks is off for it.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  if (signal.aborted) {
    run();
    return () => {};
  }
  setMaxListeners(0, signal);
  signal.addEventListener("abort", run, { once: true });
  return () => signal.removeEventListener("abort", run);
}

export interface LinkedSignal {
  readonly signal: AbortSignal;
  /** Aborts it, unless it has been. */
  abort(reason: unknown): void;
  /** Lets go of the signals that it follows. */
  unlink(): void;
}

/**
 * A signal that aborts with the first of several. Unlike `AbortSignal.any` it leaves nothing on those that live longer,
 * once it is unlinked: a term or a process can outlive thousands of calls.
 */
export function linkSignals(...signals: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  const forget = signals.map((each) => onAbort(each, () => controller.abort(each.reason)));
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    unlink: () => {
      for (const stop of forget) stop();
    },
  };
}
