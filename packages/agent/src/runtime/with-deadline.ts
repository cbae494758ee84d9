export interface DeadlineOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Returns the error with which to reject at the deadline. */
  readonly onTimeout: () => Error;
}

/**
 * Runs `effect` with a signal that is aborted at the deadline, or when the outer signal is aborted. Settles at that time
 * even if the effect ignores the signal. Leaves no timer and no listener behind.
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  effect: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, timeoutMs, onTimeout } = options;
  signal.throwIfAborted();
  const operation = new AbortController();
  const onAbort = (): void => operation.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => operation.abort(onTimeout()), timeoutMs);
  try {
    return await Promise.race([effect(operation.signal), rejectOnAbort(operation.signal)]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
