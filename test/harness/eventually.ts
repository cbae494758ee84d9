import { setTimeout as sleep } from "node:timers/promises";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";

const POLL_MS = 20;
/** Far above any time that berth promises, and below the time limit of a test, so that the error names the condition. */
const TIMEOUT_MS = 30_000;

/**
 * Polls until `check` returns something other than `undefined` and `false`, and returns that. A check that throws is
 * repeated.
 *
 * @throws Error that names `condition`, with the last error of `check` as its cause, after `timeoutMs`.
 */
export async function eventually<T>(
  condition: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = TIMEOUT_MS,
): Promise<T> {
  const limitMs = scaleTimeout(timeoutMs);
  const deadlineMs = performance.now() + limitMs;
  let cause: unknown;
  for (;;) {
    try {
      const result = await check();
      if (result !== undefined && result !== false) return result;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadlineMs) {
      throw new Error(`condition not met within ${limitMs / 1_000} s: ${condition}`, { cause });
    }
    await sleep(POLL_MS);
  }
}
