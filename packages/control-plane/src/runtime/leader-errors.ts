import { BerthError } from "@berth/proto";

export interface NotLeaderOptions {
  /** Address of the leader, if this server knows it. Agents connect there. */
  readonly leader?: string | undefined;
  /** The reason why this server is no longer the leader. */
  readonly reason?: string;
  readonly cause?: unknown;
}

/** Returns BERTH_NOT_LEADER: the call was not executed, and the caller may retry it with the leader. */
export function notLeaderError({ leader, reason, cause }: NotLeaderOptions = {}): BerthError {
  const suffix = reason === undefined ? "" : `: ${reason}`;
  const hint = leader === undefined ? "try again in a moment" : `connect to the leader at ${leader}`;
  return new BerthError({
    code: "BERTH_NOT_LEADER",
    message: `this server is not the leader${suffix}; ${hint}`,
    ...(cause !== undefined && { cause }),
    details: leader === undefined ? {} : { leader },
  });
}

/**
 * Returns BERTH_NO_LEADER: no leader was elected while this server waited.
 *
 * @param problem what keeps this server from leading
 */
export function noLeaderError(problem?: string): BerthError {
  const advice = problem ?? "check that etcd and the other servers are up, then try again";
  return new BerthError({ code: "BERTH_NO_LEADER", message: `the cluster has no leader: ${advice}` });
}
