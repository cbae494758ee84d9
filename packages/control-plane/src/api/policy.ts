import {
  checkSpec,
  type GetPolicyResponse,
  Policy,
  type PolicyViolation,
  type SetPolicyRequest,
  type SetPolicyResponse,
  validatePolicy,
} from "@berth/proto";
import type { ClusterState } from "../state/cluster-state.js";
import { POLICY_NAME } from "../state/record-kinds.js";
import type { ApiContext } from "./api-context.js";
import { violationsError } from "./deploy/violations.js";

/** Returns the policy of the cluster, if one was set. */
export function getPolicy({ state }: ApiContext): GetPolicyResponse {
  return { policy: state.policies.get(POLICY_NAME) };
}

/**
 * Replaces the policy of the cluster, unless it is a dry run. Returns the violations of the new policy by existing
 * services, whose running tasks continue. Agents reject their new tasks.
 *
 * @throws BerthError BERTH_SPEC_INVALID with every problem of the policy
 */
export async function setPolicy(
  request: SetPolicyRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<SetPolicyResponse> {
  const policy = request.policy ?? Policy.fromPartial({});
  const problems = validatePolicy(policy).map((problem) => ({ service: "", ...problem }));
  if (problems.length > 0) throw violationsError("BERTH_SPEC_INVALID", "the policy was not set", problems);
  return writer.submit((state) => {
    const previous = state.policies.get(POLICY_NAME);
    const isUnchanged = previous !== undefined && isSamePolicy(previous, policy);
    return {
      changes: request.dryRun || isUnchanged ? [] : [{ kind: "put-policy", name: POLICY_NAME, policy }],
      result: { previous, violations: [...findViolations(policy, state)] },
    };
  }, signal);
}

/** Returns the settings that the policy denies in the current specs of all services, in order of service names. */
function findViolations(policy: Policy, state: ClusterState): readonly PolicyViolation[] {
  const specs = [...state.services.values()].flatMap(({ spec, removing }) => (removing ? [] : (spec ?? [])));
  const sorted = specs.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return sorted.flatMap((spec) =>
    checkSpec(spec, policy).map((violation) => ({ service: spec.name, ...violation })),
  );
}

function isSamePolicy(a: Policy, b: Policy): boolean {
  return Buffer.from(Policy.encode(a).finish()).equals(Policy.encode(b).finish());
}
