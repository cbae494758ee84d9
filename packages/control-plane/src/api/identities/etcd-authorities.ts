import {
  type Authority,
  Authority_State as AuthorityState,
  type AuthorityStatus,
  BerthError,
  type EtcdAuthorities,
  type RotateEtcdAuthorityResponse,
} from "@berth/proto";
import { readAuthority } from "@berth/proto/identity";
import {
  canceledEtcdRotation,
  type EtcdServer,
  isRotating,
  serversBehind,
  startedEtcdRotation,
} from "../../core/authorities/etcd-rotation.js";
import { etcdServers, type ServerRegistration } from "../../core/membership/server-records.js";
import { createSealedAuthority, issuingAuthority, resealAuthority } from "../../identity/sealed-authority.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { ETCD_AUTHORITIES_NAME } from "../../state/record-kinds.js";
import type { ApiContext } from "../api-context.js";
import { authorityId, authorityStatus } from "./authority-status.js";
import { requireNoRotation } from "./require-no-rotation.js";

/**
 * Creates the next authority of etcd. The leader then restarts the etcd members of the servers, one at a time.
 *
 * @throws BerthError BERTH_CONFLICT during a rotation; BERTH_UNSUPPORTED for an external etcd, or if a server's release
 *   is too old
 */
export async function rotateEtcdAuthority(
  { state, writer, runtime, secrets, hasEmbeddedEtcd, registrations }: ApiContext,
  signal: AbortSignal,
): Promise<RotateEtcdAuthorityResponse> {
  if (secrets === undefined || !hasEmbeddedEtcd) throw externalEtcdError();
  const { clusterKey, etcdAuthorities } = secrets;
  requireNoRotation(state);
  requireSupported(registrations());
  const { cluster } = readAuthority(issuingAuthority(etcdAuthorities).certificate);
  const created = await createSealedAuthority(clusterKey, cluster, runtime.wallClockMs());
  return writer.submit((current) => {
    requireNoRotation(current);
    const earlier = issuingAuthority(current.etcdAuthorities?.authorities ?? etcdAuthorities);
    // The cluster key may have been rotated since the authorities were encrypted.
    const reseal = (authority: Authority): Authority => resealAuthority(clusterKey, authority);
    return {
      changes: [putEtcdAuthorities(startedEtcdRotation(reseal(earlier), reseal(created)))],
      result: { fingerprint: created.fingerprint },
    };
  }, signal);
}

/** Lists the authorities of an embedded etcd, oldest first, with the servers that their rotation waits for. */
export function listEtcdAuthorities({
  state,
  secrets,
  hasEmbeddedEtcd,
  registrations,
}: Pick<ApiContext, "state" | "secrets" | "hasEmbeddedEtcd" | "registrations">): AuthorityStatus[] {
  if (secrets === undefined || !hasEmbeddedEtcd) return [];
  const record = state.etcdAuthorities ?? { authorities: [...secrets.etcdAuthorities], restartingServer: "" };
  const behind = isRotating(record)
    ? serversBehind(record, etcdServers(state.servers.values(), registrations()))
    : [];
  return record.authorities.map((authority) =>
    authorityStatus(authority, { waitingFor: waitsOf(authority, behind) }),
  );
}

/**
 * Returns the change that cancels a rotation, or undefined if no authority of etcd has this fingerprint.
 *
 * @throws BerthError BERTH_AUTHORITY_IN_USE for an authority whose certificates may be in use
 */
export function decideEtcdCancellation(
  { etcdAuthorities: record }: Pick<ClusterState, "etcdAuthorities">,
  fingerprint: string,
  nowMs: number,
): Change | undefined {
  const authority = record?.authorities.find((candidate) => candidate.fingerprint === fingerprint);
  if (record === undefined || authority === undefined) return undefined;
  if (authority.state === AuthorityState.ANNOUNCED) {
    return putEtcdAuthorities(canceledEtcdRotation(record, nowMs));
  }
  const reason =
    authority.state === AuthorityState.ISSUING
      ? 'issues the certificates for etcd; run "berth ca rotate --etcd" first'
      : 'is removed once no server needs it any more; see "berth ca ls"; start the servers that are down, or remove lost ones with "berth server rm"';
  throw new BerthError({
    code: "BERTH_AUTHORITY_IN_USE",
    message: `the CA ${authorityId(authority)} ${reason}`,
  });
}

/** Returns the servers that an authority waits for. None for the issuing authority. */
function waitsOf({ state }: Authority, behind: readonly EtcdServer[]): readonly string[] {
  return state === AuthorityState.ISSUING ? [] : behind.map(({ name }) => name);
}

function putEtcdAuthorities(etcdAuthorities: EtcdAuthorities): Change {
  return { kind: "put-etcdAuthorities", name: ETCD_AUTHORITIES_NAME, etcdAuthorities };
}

function requireSupported(servers: readonly ServerRegistration[]): void {
  const outdatedServers = servers.filter(({ etcd }) => etcd === undefined).map(({ address }) => address);
  if (outdatedServers.length === 0) return;
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: `the CA of etcd was not rotated: these servers run an older release, which does not support rotation: ${outdatedServers.join(", ")}; upgrade them first`,
  });
}

function externalEtcdError(): BerthError {
  return new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: "the cluster uses an external etcd; replace its CA with the tools of its operator",
  });
}
