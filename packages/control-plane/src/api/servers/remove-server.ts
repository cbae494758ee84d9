import type { RemoveServerRequest, RemoveServerResponse, Server } from "@berth/proto";
import { memberOf } from "../../core/membership/server-members.js";
import { isRemoved, markServerForRemoval, serverInUseError } from "../../core/membership/server-records.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { findServer } from "../lookup.js";

/** Time for which a repeated call is recognized. Longer than an election. */
const REPEAT_WINDOW_MS = 60_000;

/**
 * Revokes the identity of a server. The leader removes its etcd member afterwards, even across leader changes. A
 * repeated call succeeds.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_SERVER_IN_USE, BERTH_CONFLICT as `markServerForRemoval`
 *   does
 */
export async function removeServer(
  { server: reference, force }: RemoveServerRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<RemoveServerResponse> {
  const { state, writer, runtime } = context;
  const repeated = findRemoved(reference, state.servers.values(), runtime.wallClockMs());
  const server = repeated ?? findServer(state, reference);
  if (isRemoved(server)) return { serverId: server.id };
  const markForRemoval = ({ servers }: ClusterState): Server =>
    markServerForRemoval(findServer({ servers }, server.id), servers, {
      force,
      nowMs: runtime.wallClockMs(),
    });
  markForRemoval(state);
  await requireQuorumWithout(server, context, signal);
  await writer.submit(
    (current) => ({ changes: [{ kind: "put-server", server: markForRemoval(current) }], result: undefined }),
    signal,
  );
  return { serverId: server.id };
}

/**
 * Returns the server that an earlier call removed, unless another server has its name or address. Clients retry the
 * call if the removed server was the leader and stopped before it responded.
 */
function findRemoved(reference: string, servers: Iterable<Server>, nowMs: number): Server | undefined {
  const matches = [...servers].filter(({ hostname, address }) => [hostname, address].includes(reference));
  if (matches.some((server) => !isRemoved(server))) return undefined;
  return matches.find(({ stateSinceMs }) => nowMs - stateSinceMs < REPEAT_WINDOW_MS);
}

/** @throws BerthError BERTH_SERVER_IN_USE unless the remaining etcd members have a quorum without the server */
async function requireQuorumWithout(
  server: Server,
  { state, membership }: ApiContext,
  signal: AbortSignal,
): Promise<void> {
  if (membership === undefined) return;
  const current = [...state.servers.values()].filter((candidate) => !isRemoved(candidate));
  const [peerUrl] = memberOf(server, await membership.observe(signal), current)?.peerUrls ?? [];
  const problem = peerUrl === undefined ? undefined : await membership.removalProblem(peerUrl, signal);
  if (problem !== undefined) throw serverInUseError(server, problem);
}
