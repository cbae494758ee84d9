import { setMaxListeners } from "node:events";

/**
 * Number of listeners of a signal above which Node.js warns about a leak. A term's signal has one for each in-flight
 * call and write: hundreds are normal, and a thousand agents that register at once need a few thousand.
 */
const MAX_LISTENERS = 10_000;

/**
 * Calls `run` once when `signal` is aborted, or at once if it has aborted. The returned function removes the listener.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  if (signal.aborted) {
    run();
    return () => {};
  }
  setMaxListeners(MAX_LISTENERS, signal);
  signal.addEventListener("abort", run, { once: true });
  return () => signal.removeEventListener("abort", run);
}

/** Resolves when `signal` is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    onAbort(signal, resolve);
  });
}

/**
 * Settles like `work`, but rejects with the signal's reason as soon as `signal` is aborted. `work` itself is not
 * stopped.
 */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const removeListener = onAbort(signal, () => reject(signal.reason));
    work.then(resolve, reject).finally(removeListener);
  });
}

/** A signal that is linked to parent signals. */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  /** Aborts `signal`, unless it is aborted already. */
  abort(reason?: unknown): void;
  /** Removes the listeners on the parent signals. */
  unlink(): void;
}

/**
 * Returns a signal that aborts with the first of its parents.
 *
 * Unlike with `AbortSignal.any`, no listeners remain on the parents after `unlink`. The signal of a term or a process can
 * outlive thousands of calls.
 */
export function linkSignals(...parents: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  const removeListeners = parents.map((parent) => onAbort(parent, () => controller.abort(parent.reason)));
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    unlink: () => {
      for (const removeListener of removeListeners) removeListener();
    },
  };
}
