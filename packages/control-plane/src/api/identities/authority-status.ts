import type { Authority, AuthorityStatus } from "@berth/proto";
import { parseCertificate } from "@berth/proto/identity";

/** Returns the status of an authority for users. `rest` are the fields that depend on the cluster. */
export function authorityStatus(
  { fingerprint, certificate, state, createdAtMs }: Authority,
  {
    waitingFor,
    ...rest
  }: { readonly waitingFor: readonly string[] } & Partial<
    Pick<AuthorityStatus, "removalAtMs" | "nodes" | "nodeCount">
  >,
): AuthorityStatus {
  return {
    fingerprint,
    certificate,
    state,
    createdAtMs,
    waitingFor: [...waitingFor],
    expiresAtMs: Date.parse(parseCertificate(certificate).validTo),
    removalAtMs: 0,
    nodes: [],
    nodeCount: 0,
    ...rest,
  };
}

/** Returns the first digits of an authority's fingerprint, which identify the authority in messages. */
export function authorityId({ fingerprint }: Pick<Authority, "fingerprint">): string {
  return fingerprint.slice(0, 12);
}
