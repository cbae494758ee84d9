import {
  assertNever,
  BerthError,
  type RenewCertificateRequest,
  type RenewCertificateResponse,
} from "@berth/proto";
import type { Identity } from "@berth/proto/identity";
import { type Caller, describeCaller } from "@berth/proto/rpc";
import { isRemoved } from "../../core/membership/server-records.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { findUser } from "./certificate-name.js";
import { requireIssuer } from "./require-issuer.js";

/**
 * Issues the next certificate of the caller.
 *
 * @throws BerthError BERTH_UNAUTHENTICATED for a caller that was removed, BERTH_INPUT_INVALID for a malformed request
 */
export async function renewCertificate(
  { certificateRequest }: RenewCertificateRequest,
  context: ApiContext,
  caller: Caller,
  signal: AbortSignal,
): Promise<RenewCertificateResponse> {
  const issuer = requireIssuer(context);
  if (caller.kind === "anonymous" || !isMember(caller, context.state)) {
    throw new BerthError({
      code: "BERTH_UNAUTHENTICATED",
      message: `${describeCaller(caller)} cannot renew its certificate: it was removed from the cluster; join again with a new token`,
    });
  }
  const { certificate, authorities, issuer: authority } = await issuer.issue(caller, certificateRequest);
  if (caller.kind === "node") await recordAuthority(caller.id, authority, context, signal);
  return { certificate, authorities };
}

/** Records which authority issued the certificate of a node, if it has changed. */
export async function recordAuthority(
  nodeId: string,
  certificateAuthority: string,
  { state, writer }: ApiContext,
  signal: AbortSignal,
): Promise<void> {
  if (state.nodes.get(nodeId)?.certificateAuthority === certificateAuthority) return;
  await writer.submit(({ nodes }) => {
    const node = nodes.get(nodeId);
    const changes: readonly Change[] =
      node === undefined ? [] : [{ kind: "put-node", node: { ...node, certificateAuthority } }];
    return { changes, result: undefined };
  }, signal);
}

/**
 * Returns whether a caller is a current member: an existing node or user, or a server that was not removed. Names are
 * never reused, so the certificate of a removed member is revoked.
 */
export function isMember(
  identity: Identity,
  { nodes, users, servers }: Pick<ClusterState, "nodes" | "users" | "servers">,
): boolean {
  switch (identity.kind) {
    case "node":
      return nodes.get(identity.id) !== undefined;
    case "user":
      return findUser(identity.name, users) !== undefined;
    case "server":
      return !isRemoved(servers.get(identity.id));
    default:
      return assertNever(identity);
  }
}
