import { LabError } from "../../deploy/lab/lab-error.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";

/**
 * Default timeout: far above any time that berth promises, but below a test's time limit, so that the error names the
 * condition.
 */
const TIMEOUT_MS = 30_000;

/**
 * Polls until `check` returns a value other than `undefined` and `false`, and returns that value. Repeats a check that
 * throws. The timeout is scaled for slow machines.
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

/**
 * Repeats assertions until they pass, and returns their result. Replaces `vi.waitFor`, whose default timeout of one
 * second is too short on a busy machine. The timeout is scaled for slow machines.
 *
 * @throws the last error of `check` after `timeoutMs`.
 */
export async function eventuallyPasses<T>(check: () => Promise<T> | T, timeoutMs = TIMEOUT_MS): Promise<T> {
  const probe = async (): Promise<{ readonly result: T }> => ({ result: await check() });
  const options = { what: "the assertions to pass", timeoutMs, retryErrors: true };
  const { result } = await waitUntil(probe, options).catch((error: unknown) => {
    throw error instanceof LabError && error.cause !== undefined ? error.cause : error;
  });
  return result;
}
