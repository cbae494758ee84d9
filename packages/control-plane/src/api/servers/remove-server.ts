import type { RemoveServerRequest, RemoveServerResponse, Server } from "@berth/proto";
import { memberOf } from "../../core/membership/server-members.js";
import { isRemoved, markServerForRemoval, serverInUse } from "../../core/membership/server-records.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { findServer } from "../lookup.js";

/** Longer than an election takes. */
const REPEAT_MS = 60_000;

/**
 * Revokes the identity of a server. The leader removes its etcd member afterwards, and continues after a change of the
 * leader. A repeated call succeeds.
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_SERVER_IN_USE, BERTH_CONFLICT as `markServerForRemoval` does
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
  await requireMajorityWithout(server, context, signal);
  await writer.submit(
    (current) => ({ changes: [{ kind: "put-server", server: markForRemoval(current) }], result: undefined }),
    signal,
  );
  return { serverId: server.id };
}

/**
 * Returns the server of an earlier call, unless another server has its name or address. The call is repeated when the
 * leader that is removed stops before it has answered.
 */
function findRemoved(reference: string, servers: Iterable<Server>, nowMs: number): Server | undefined {
  const named = [...servers].filter(({ hostname, address }) => [hostname, address].includes(reference));
  if (named.some((server) => !isRemoved(server))) return undefined;
  return named.find(({ stateSinceMs }) => nowMs - stateSinceMs < REPEAT_MS);
}

/** @throws BerthError BERTH_SERVER_IN_USE unless the etcd members that run are a majority of those that remain */
async function requireMajorityWithout(
  server: Server,
  { state, membership }: ApiContext,
  signal: AbortSignal,
): Promise<void> {
  if (membership === undefined) return;
  const current = [...state.servers.values()].filter((each) => !isRemoved(each));
  const [peerUrl] = memberOf(server, await membership.observe(signal), current)?.peerUrls ?? [];
  const problem = peerUrl === undefined ? undefined : await membership.removalProblem(peerUrl, signal);
  if (problem !== undefined) throw serverInUse(server, problem);
}
