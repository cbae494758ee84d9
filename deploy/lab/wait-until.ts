import { setTimeout as sleep } from "node:timers/promises";
import { LabError } from "./lab-error.js";

/** Short enough not to be felt in `up`, long enough to leave two busy cores alone. */
const POLL_MS = 20;

export interface WaitOptions {
  /** Completes the sentence "gave up waiting for …". */
  readonly what: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Polls until `probe` returns something other than `undefined` and `false`, and returns that.
 *
 * @throws LabError LAB_NOT_READY at the deadline; whatever `probe` throws.
 */
export async function waitUntil<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  { what, timeoutMs, signal }: WaitOptions,
): Promise<T> {
  const limitMs = scaleTimeout(timeoutMs);
  const deadline = performance.now() + limitMs;
  for (;;) {
    signal?.throwIfAborted();
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) {
      throw new LabError("LAB_NOT_READY", `gave up waiting for ${what} after ${limitMs / 1_000} s`);
    }
    await sleep(POLL_MS);
  }
}

/**
 * How many times longer than usual whatever is waited for may take: `BERTH_TEST_PATIENCE`, 1 unless set. For machines
 * that are slower than any that people run berth on, as emulated ones.
 */
const FACTOR = Math.max(1, Number(process.env.BERTH_TEST_PATIENCE) || 1);

/** A deadline of the lab or of a test on this machine. Nothing that berth itself measures is changed. */
export function scaleTimeout(timeoutMs: number): number {
  return timeoutMs * FACTOR;
}
