import { setTimeout as sleep } from "node:timers/promises";
import { LabError } from "./lab-error.js";

/**
 * Minimum interval between two checks: short compared with the steps of `lab up`, but long enough not to load a busy
 * machine.
 */
const MIN_INTERVAL_MS = 20;
/** Maximum pause, even after a slow probe. */
const MAX_INTERVAL_MS = 250;
/** Timeout multiplier, 1 by default. Emulated machines need more time than real ones. */
let timeoutScale = Math.max(1, Number(process.env.BERTH_TEST_TIMEOUT_SCALE) || 1);

/** Multiplies a timeout of the lab or of a test by BERTH_TEST_TIMEOUT_SCALE. berth's own timeouts do not change. */
export function scaleTimeout(timeoutMs: number): number {
  return timeoutMs * timeoutScale;
}

/** Raises the multiplier of this process to at least `scale`, for a lab of emulated machines. */
export function raiseTimeoutScale(scale: number): void {
  timeoutScale = Math.max(timeoutScale, scale);
}

export interface WaitOptions {
  /** Completes the sentence "timed out waiting for …". */
  readonly what: string;
  /** Scaled by {@link scaleTimeout}. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether to poll again after an error of the probe. The last error becomes the cause of the timeout. */
  readonly retryErrors?: boolean;
}

/**
 * Polls until `probe` returns a value other than `undefined` and `false`, and returns that value. Pauses after each
 * probe for as long as the probe took, so that an expensive probe leaves half of the CPU time to the program it waits
 * for.
 *
 * @throws LabError LAB_NOT_READY at the deadline.
 * @throws errors of `probe`, unless `retryErrors` is set.
 */
export async function waitUntil<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  { what, timeoutMs, signal, retryErrors = false }: WaitOptions,
): Promise<T> {
  const scaledMs = scaleTimeout(timeoutMs);
  const deadlineMs = performance.now() + scaledMs;
  let lastError: unknown;
  for (;;) {
    signal?.throwIfAborted();
    const startedMs = performance.now();
    try {
      const result = await probe();
      if (result !== undefined && result !== false) return result;
    } catch (error) {
      if (!retryErrors) throw error;
      lastError = error;
    }
    const nowMs = performance.now();
    if (nowMs > deadlineMs) {
      const message = `timed out waiting for ${what} after ${scaledMs / 1_000} s`;
      throw new LabError("LAB_NOT_READY", message, { cause: lastError });
    }
    await sleep(Math.min(Math.max(nowMs - startedMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS));
  }
}
