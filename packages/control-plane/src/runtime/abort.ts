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
