import {
  type Authority,
  Authority_State as AuthorityState,
  BerthError,
  findByPrefix,
  type ListAuthoritiesResponse,
  type Node,
  NodeState,
  type RemoveAuthorityRequest,
  type RemoveAuthorityResponse,
  type RotateAuthorityResponse,
} from "@berth/proto";
import { removalMs, untrustingServers } from "../../core/authorities/rotation.js";
import { nodeName } from "../../core/model/node-name.js";
import { RETIREMENT_MS } from "../../identity/certificate-issuer.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { authorityId, authorityStatus } from "./authority-status.js";
import { decideEtcdCancellation, listEtcdAuthorities } from "./etcd-authorities.js";
import { requireIssuer } from "./require-issuer.js";

/** Maximum number of authorities. All of them are part of each certificate bundle, and berth's TLS peers support 16. */
const MAX_AUTHORITIES = 8;

/** Maximum number of nodes in a response. */
const MAX_LISTED_NODES = 100;

const DAY_MS = 24 * 60 * 60 * 1_000;

/** Lists the authorities, oldest first, with the progress of their rotation. */
export function listAuthorities(context: ApiContext): ListAuthoritiesResponse {
  const { state, registrations } = context;
  const authorities = [...state.authorities.values()].sort((a, b) => a.createdAtMs - b.createdAtMs);
  const issuing = authorities.find((authority) => authority.state === AuthorityState.ISSUING);
  const ready = [...state.nodes.values()].filter((node) => node.state === NodeState.READY);
  return {
    authorities: authorities.map((authority) => {
      const nodes = nodesOf(authority, state);
      return authorityStatus(authority, {
        removalAtMs: removalMs(authority, { retirementMs: RETIREMENT_MS }) ?? 0,
        waitingFor: isAnnounced(authority) ? untrustingServers(authority, registrations()) : [],
        nodes: nodes.slice(0, MAX_LISTED_NODES).map(nodeName).sort(),
        nodeCount: nodes.length,
      });
    }),
    etcdAuthorities: listEtcdAuthorities(context),
    readyNodes: ready.length,
    readyNodesRenewed: ready.filter((node) => node.certificateAuthority === issuing?.fingerprint).length,
  };
}

/**
 * Creates the next authority. The leader makes it the issuing authority once all servers trust it.
 *
 * @throws BerthError BERTH_CONFLICT during another rotation, BERTH_LIMIT_EXCEEDED
 */
export async function rotateAuthority(
  context: ApiContext,
  signal: AbortSignal,
): Promise<RotateAuthorityResponse> {
  const issuer = requireIssuer(context);
  requireNoRotation(context.state);
  const { authority, signedBy } = await issuer.createSuccessor();
  return context.writer.submit((state) => {
    requireNoRotation(state);
    if (state.authorities.get(signedBy)?.state !== AuthorityState.ISSUING) throw concurrentRotationError();
    return {
      // A rotation of the cluster key must not miss the new record.
      changes: [{ kind: "put-authority", authority: issuer.reseal(authority) }],
      result: { fingerprint: authority.fingerprint },
    };
  }, signal);
}

/**
 * Removes an authority that issues no certificates, so that its certificates are no longer trusted. For an authority of
 * etcd, cancels the rotation.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_AUTHORITY_IN_USE for the issuing authority, and without
 *   `force` for an authority whose certificates may be in use
 */
export async function removeAuthority(
  { authority: reference, force }: RemoveAuthorityRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveAuthorityResponse> {
  const fingerprint = await writer.submit((state) => {
    const authority = findAuthority(state, reference);
    const cancellation = decideEtcdCancellation(state, authority.fingerprint, runtime.wallClockMs());
    if (cancellation !== undefined) return { changes: [cancellation], result: authority.fingerprint };
    if (authority.state === AuthorityState.ISSUING) throw issuingAuthorityError(authority);
    if (authority.state === AuthorityState.RETIRING && !force) throw retiringAuthorityError(authority, state);
    return {
      changes: [{ kind: "delete-authority", fingerprint: authority.fingerprint }],
      result: authority.fingerprint,
    };
  }, signal);
  return { fingerprint };
}

/** Returns the nodes that have, or may have, only certificates of this authority. */
function nodesOf(
  { fingerprint, state: authorityState }: Authority,
  { nodes }: Pick<ClusterState, "nodes">,
): readonly Node[] {
  const mayBeOf = authorityState === AuthorityState.RETIRING ? [fingerprint, ""] : [fingerprint];
  return [...nodes.values()].filter((node) => mayBeOf.includes(node.certificateAuthority));
}

function isAnnounced({ state }: Authority): boolean {
  return state === AuthorityState.ANNOUNCED;
}

function requireNoRotation({ authorities }: Pick<ClusterState, "authorities">): void {
  const announced = [...authorities.values()].find(isAnnounced);
  if (announced !== undefined) {
    const id = authorityId(announced);
    throw new BerthError({
      code: "BERTH_CONFLICT",
      message: `a rotation is in progress: the CA ${id} waits until all servers trust it; see "berth ca ls", or cancel the rotation with "berth ca rm ${id}"`,
    });
  }
  if (authorities.size < MAX_AUTHORITIES) return;
  throw new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `the cluster has ${MAX_AUTHORITIES} CAs, which is the limit; remove retiring ones with "berth ca rm"`,
  });
}

/** Finds an authority of the cluster or of etcd. */
function findAuthority({ authorities, etcdAuthorities }: ClusterState, reference: string): Authority {
  const idOf = ({ fingerprint }: Authority): string => fingerprint;
  const all = [...authorities.values(), ...(etcdAuthorities?.authorities ?? [])];
  return findByPrefix(all, { noun: "CA", reference, idOf, listCommand: "berth ca ls" });
}

function concurrentRotationError(): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: "another rotation has changed the issuing CA in the meantime; try again",
  });
}

function issuingAuthorityError(authority: Authority): BerthError {
  return new BerthError({
    code: "BERTH_AUTHORITY_IN_USE",
    message: `the CA ${authorityId(authority)} issues the certificates of the cluster; run "berth ca rotate" first`,
  });
}

/** Returns the error with the owners of affected certificates. The cluster keeps no list of users' certificates. */
function retiringAuthorityError(authority: Authority, state: ClusterState): BerthError {
  const nodes = nodesOf(authority, state).map(nodeName).sort();
  const listed = nodes.length > 5 ? [...nodes.slice(0, 5), `and ${nodes.length - 5} more`] : nodes;
  const affected = [
    nodes.length === 0 ? "no node" : `these nodes: ${listed.join(", ")}`,
    "users who have not renewed their certificates since the rotation",
    "join tokens and invitations from before it",
  ];
  const days = Math.round(RETIREMENT_MS / DAY_MS);
  return new BerthError({
    code: "BERTH_AUTHORITY_IN_USE",
    message: `the CA ${authorityId(authority)} was not removed, because its certificates can still be in use; it is removed ${days} days after the rotation. With --force, the cluster locks out ${affected.join("; ")}: they have to join again`,
  });
}
