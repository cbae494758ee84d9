import {
  BerthError,
  type GetClusterKeyResponse,
  ClusterKeyState_Phase as Phase,
  type RotateClusterKeyResponse,
} from "@berth/proto";
import {
  type ServerKeys,
  serversWithOthers,
  serversWithout,
  startedRotation,
} from "../../core/cluster-key/rotation.js";
import type { HeldClusterKey } from "../../identity/held-cluster-key.js";
import { CLUSTER_KEY_NAME } from "../../state/record-kinds.js";
import type { ApiContext } from "../api-context.js";
import { requireNoRotation } from "./require-no-rotation.js";

/**
 * Creates the next cluster key, and starts its rotation. The leader continues once all servers have the key.
 *
 * @throws BerthError BERTH_CONFLICT during a rotation of it or of etcd's authority, BERTH_UNSUPPORTED if a server's
 *   release is too old
 */
export async function rotateClusterKey(
  { state: current, writer, runtime, heldKey, registrations }: ApiContext,
  signal: AbortSignal,
): Promise<RotateClusterKeyResponse> {
  const currentKey = requireHeldKey(heldKey);
  requireNoRotation(current);
  requireSupported(registrations());
  const next = await currentKey.reserveNext();
  try {
    return await writer.submit((state) => {
      requireNoRotation(state);
      const clusterKey = startedRotation(currentKey.ids.current, next.id, runtime.wallClockMs());
      return {
        changes: [{ kind: "put-clusterKey", name: CLUSTER_KEY_NAME, clusterKey }],
        result: { id: next.id },
      };
    }, signal);
  } catch (error) {
    // If the rotation was stored despite an unknown outcome, the leader abandons it for lack of this key.
    currentKey.release();
    throw error;
  }
}

/** Returns the progress of the rotation of the cluster key. */
export function getClusterKey({
  state,
  heldKey,
  keyRotation,
  registrations,
}: ApiContext): GetClusterKeyResponse {
  const { current } = requireHeldKey(heldKey).ids;
  const initial = { currentId: current, nextId: "", phase: Phase.UNSPECIFIED, phaseSinceMs: 0 };
  const { clusterKey = initial } = state;
  const { total, sealed } = keyRotation?.progress ?? { total: 0, sealed: 0 };
  const waitingFor =
    clusterKey.nextId === ""
      ? serversWithOthers(clusterKey.currentId, registrations())
      : serversWithout(clusterKey.nextId, registrations());
  return { state: clusterKey, waitingFor: [...waitingFor], records: total, recordsSealed: sealed };
}

function requireSupported(servers: readonly ServerKeys[]): void {
  const outdatedServers = servers.filter(({ keys }) => keys === undefined).map(({ address }) => address);
  if (outdatedServers.length === 0) return;
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: `the cluster key was not rotated: these servers run an older release, which does not support rotation: ${outdatedServers.join(", ")}; upgrade them first`,
  });
}

/** @throws BerthError BERTH_UNSUPPORTED in a cluster without certificates, such as the simulation */
function requireHeldKey(heldKey: HeldClusterKey | undefined): HeldClusterKey {
  if (heldKey !== undefined) return heldKey;
  throw new BerthError({ code: "BERTH_UNSUPPORTED", message: "this server has no cluster key" });
}
