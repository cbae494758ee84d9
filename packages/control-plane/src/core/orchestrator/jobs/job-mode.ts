import { type RestartPolicy, RestartPolicy_Condition, type ServiceSpec } from "@berth/proto";

/** Whether a service runs its tasks to their end, in place of keeping them running. */
export const isJob = ({ mode }: ServiceSpec): boolean =>
  mode?.$case === "replicatedJob" || mode?.$case === "globalJob";

/** Whether each of its tasks is bound to a node of its own. */
export const isBoundToNodes = ({ mode }: ServiceSpec): boolean =>
  mode?.$case === "global" || mode?.$case === "globalJob";

/** What completes is done, whatever the spec says of restarts. */
export function jobRestartPolicy(spec: ServiceSpec): RestartPolicy {
  const policy = spec.task?.restart ?? { condition: 0, maxAttempts: 0, windowMs: 0 };
  const { NONE, ON_FAILURE } = RestartPolicy_Condition;
  return { ...policy, condition: policy.condition === NONE ? NONE : ON_FAILURE };
}

/** How many tasks of one run may exist at a time; Infinity: all. */
export function maxConcurrent({ mode }: ServiceSpec): number {
  const limit = mode?.$case === "replicatedJob" ? mode.value.maxConcurrent : 0;
  return limit === 0 ? Number.POSITIVE_INFINITY : limit;
}
