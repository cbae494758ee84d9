import { BerthError, ClusterKeyState_Phase as Phase } from "@berth/proto";
import { isRotating } from "../../core/authorities/etcd-rotation.js";
import type { ClusterState } from "../../state/cluster-state.js";

/**
 * Checks that neither the cluster key nor etcd's authority is being rotated. The two rotations are mutually exclusive:
 * rotating the cluster key re-encrypts the record with etcd's authorities.
 *
 * @throws BerthError BERTH_CONFLICT
 */
export function requireNoRotation({
  clusterKey,
  etcdAuthorities,
}: Pick<ClusterState, "clusterKey" | "etcdAuthorities">): void {
  if (etcdAuthorities !== undefined && isRotating(etcdAuthorities)) {
    throw new BerthError({
      code: "BERTH_CONFLICT",
      message: 'a rotation of the CA of etcd is in progress: it continues by itself; see "berth ca ls"',
    });
  }
  if (clusterKey === undefined || clusterKey.phase === Phase.UNSPECIFIED) return;
  const since = new Date(clusterKey.phaseSinceMs).toISOString();
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `a rotation of the cluster key is in progress (its last step was at ${since}): it continues by itself; see "berth secret rotate-key --status"`,
  });
}
