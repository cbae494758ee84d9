import type { Logger } from "pino";
import type { LinkedSignal } from "../runtime/abort.js";

/** A part of a server or of its leader that runs until the signal is aborted. */
export type Loop = (signal: AbortSignal) => Promise<void>;

/** Runs a loop. Aborts the signal with the error if the loop fails. */
export async function runLoop(
  loop: Loop,
  { signal, abort }: Pick<LinkedSignal, "signal" | "abort">,
): Promise<void> {
  try {
    await loop(signal);
  } catch (error) {
    abort(error);
    throw error;
  }
}

/**
 * Runs the loops of a server until all of them have ended. A loop that fails stops the others.
 *
 * @throws the error of the first loop in the list that failed, also while the server stops; further errors are logged
 */
export async function runUntilStopped(
  loops: readonly Loop[],
  { signal, abort, unlink }: LinkedSignal,
  logger: Logger,
): Promise<void> {
  const results = await Promise.allSettled(loops.map((loop) => runLoop(loop, { signal, abort })));
  unlink();
  const failures = results.filter((result) => result.status === "rejected");
  const [first, ...further] = failures;
  for (const { reason } of further) logger.error({ err: reason }, "another part of the server failed");
  if (first !== undefined) throw first.reason;
}
