import { setTimeout as sleep } from "node:timers/promises";

/** How long the other parts may take to stop after a part has failed. */
const STOP_TIMEOUT_MS = 5_000;

/** A part of the agent that runs concurrently with the others. */
export interface Part {
  readonly name: string;
  /** Runs until the signal is aborted. Rejects on a fatal error. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Runs all parts concurrently until `lifetime` is aborted. The first part that fails or ends early aborts `lifetime`,
 * and its error is thrown once the others have stopped.
 */
export async function supervise(parts: readonly Part[], lifetime: AbortController): Promise<void> {
  const { signal } = lifetime;
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    if (signal.aborted) return;
    failure = { error };
    lifetime.abort(error);
  };
  const running = parts.map(async (part) => {
    try {
      await part.run(signal);
      fail(new Error(`${part.name} ended unexpectedly`));
    } catch (error) {
      fail(error);
    }
  });
  const allStopped = Promise.all(running);
  await Promise.race([allStopped, waitAfterFailure(signal, () => failure !== undefined)]);
  if (failure !== undefined) throw failure.error;
}

/** Resolves 5 s after a failure, even if a part does not stop. Never resolves after an orderly stop. */
function waitAfterFailure(signal: AbortSignal, hasFailed: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener(
      "abort",
      () => {
        if (hasFailed()) sleep(STOP_TIMEOUT_MS, undefined, { ref: false }).then(resolve, () => {});
      },
      { once: true },
    );
  });
}
