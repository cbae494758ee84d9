import { BerthError } from "@berth/proto";
import { withDeadline } from "../runtime/with-deadline.js";

/**
 * Timeout for applying a configuration. Bounds the time for which the leader waits for the result. An unresponsive ingress
 * process keeps its last configuration.
 */
const APPLY_TIMEOUT_MS = 10_000;

/**
 * Applies a configuration to the ingress process.
 *
 * @throws BerthError BERTH_INGRESS_FAILED after 10 s without a response, or what `apply` throws
 */
export function applyWithDeadline<T>(
  signal: AbortSignal,
  apply: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const onTimeout = (): BerthError =>
    new BerthError({
      code: "BERTH_INGRESS_FAILED",
      message: `ingress process did not respond within ${APPLY_TIMEOUT_MS / 1_000} s: it or the agent was suspended, or this host is overloaded`,
    });
  return withDeadline({ signal, timeoutMs: APPLY_TIMEOUT_MS, onTimeout }, apply);
}
