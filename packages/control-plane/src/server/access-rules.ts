import type { Identity } from "@berth/proto/identity";
import { type AccessRules, PERMISSIONS, type Revocations } from "@berth/proto/rpc";
import { refusedRpc } from "../api/audit/denied-calls.js";
import type { LeadershipState } from "./leadership-state.js";
import type { RefusalReporter } from "./refusal-reporter.js";

/** The nodes and users of the cluster, as the leader knows them. */
export interface Members {
  /** Returns false for a node or user that was removed. */
  has(identity: Identity): boolean;
  /** Calls the listener when a node or user was removed. The returned function removes the listener. */
  onRemoved(listener: () => void): () => void;
}

/**
 * Returns the rules by which a server admits callers.
 *
 * Only the leader knows the members of the cluster. Other servers accept each certificate of the cluster, and forward
 * the calls of users to the leader, which checks their roles. Nodes have sessions with the leader only.
 */
export function accessRules(
  leadership: LeadershipState,
  refusals: Pick<RefusalReporter, "record">,
): AccessRules {
  return {
    permissions: PERMISSIONS,
    rolesOf: () => ["viewer", "deployer", "admin"],
    revocations: leaderRevocations(leadership),
    onRefused: (call) => refusals.record(refusedRpc(call)),
  };
}

/** Revokes the certificates of removed nodes and users, whose names are never reused. */
function leaderRevocations(leadership: LeadershipState): Revocations {
  return {
    isRevoked: ({ identity }) => leadership.leader?.members.has(identity) === false,
    subscribe: (listener) => leadership.onMembersChange(listener),
  };
}
