import { checkSpec, type ServiceSpec } from "@berth/proto";
import type { ClusterState } from "../../state/cluster-state.js";
import { violationsError } from "./violations.js";

/**
 * Checks specs against the policy of the cluster.
 *
 * @param errorPrefix what failed, such as `stack shop was not deployed`
 * @throws BerthError BERTH_POLICY_DENIED with all settings that the policy denies
 */
export function requirePermitted(
  specs: readonly ServiceSpec[],
  { policy }: ClusterState,
  errorPrefix: string,
): void {
  const violations = specs.flatMap((spec) =>
    checkSpec(spec, policy).map(({ path, message }) => ({ service: spec.name, path, message })),
  );
  if (violations.length > 0) throw violationsError("BERTH_POLICY_DENIED", errorPrefix, violations);
}
