import { waitUntil } from "../../deploy/lab/wait-until.js";

/** Far above any time that berth promises, and below the time limit of a test, so that the error names the condition. */
const TIMEOUT_MS = 30_000;

/**
 * Polls until `check` returns something other than `undefined` and `false`, and returns that. A check that throws is
 * repeated. The timeout is scaled for slow machines.
 *
 * @throws LabError that names `condition`, with the last error of `check` as its cause, after `timeoutMs`.
 */
export function eventually<T>(
  condition: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = TIMEOUT_MS,
): Promise<T> {
  return waitUntil(check, { what: condition, timeoutMs, retryErrors: true });
}
