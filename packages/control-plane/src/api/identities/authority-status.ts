import type { Authority, AuthorityStatus } from "@berth/proto";
import { parseCertificate } from "@berth/proto/identity";

/** The part of an authority's status that depends on the cluster. */
export interface AuthorityUse {
  /** Servers that have to follow before the rotation continues. */
  readonly waitingFor: readonly string[];
  /** When the leader removes the authority. Default: 0, never. */
  readonly removalAtMs?: number;
  /** Nodes with certificates of the authority. Default: none. */
  readonly nodes?: readonly string[];
  /** Number of these nodes, also of those that are not listed. Default: 0. */
  readonly nodeCount?: number;
}

/** Returns the status of an authority for users. */
export function authorityStatus(
  { fingerprint, certificate, state, createdAtMs }: Authority,
  { waitingFor, removalAtMs = 0, nodes = [], nodeCount = 0 }: AuthorityUse,
): AuthorityStatus {
  return {
    fingerprint,
    certificate,
    state,
    createdAtMs,
    waitingFor: [...waitingFor],
    expiresAtMs: Date.parse(parseCertificate(certificate).validTo),
    removalAtMs,
    nodes: [...nodes],
    nodeCount,
  };
}

/** Returns the first digits of an authority's fingerprint, which identify the authority in messages. */
export function authorityId({ fingerprint }: Pick<Authority, "fingerprint">): string {
  return fingerprint.slice(0, 12);
}
