import {
  Authority_State as AuthorityState,
  type AuthorityStatus,
  type ListAuthoritiesResponse,
} from "@berth/proto";
import { formatTimeSince, formatTimeUntil } from "./human.js";
import type { Listing } from "./print.js";
import { authorityStateName } from "./state-names.js";

const ID_DIGITS = 12;

/** A CA, and the use of its certificates. */
export interface AuthorityRow extends AuthorityStatus {
  readonly use: "cluster" | "etcd";
}

/** Returns the CAs of the cluster, followed by the CAs of etcd. */
export function authorityRows({
  authorities,
  etcdAuthorities,
}: ListAuthoritiesResponse): readonly AuthorityRow[] {
  return [
    ...authorities.map((each) => ({ ...each, use: "cluster" as const })),
    ...etcdAuthorities.map((each) => ({ ...each, use: "etcd" as const })),
  ];
}

/** Returns the first digits of a CA's fingerprint, which identify the CA in tables and commands. */
export function authorityId({ fingerprint }: Pick<AuthorityStatus, "fingerprint">): string {
  return fingerprint.slice(0, ID_DIGITS);
}

/** Describes the output of `berth ca ls`, as a table and as JSON. */
export function authorityListing(rows: readonly AuthorityRow[], nowMs: number): Listing<AuthorityRow> {
  return {
    rows,
    id: authorityId,
    json: authorityJson,
    columns: [
      { title: "ID", cell: authorityId },
      { title: "USE", cell: ({ use }) => use },
      { title: "STATE", cell: ({ state }) => authorityStateName(state) },
      { title: "CREATED", cell: ({ createdAtMs }) => formatTimeSince(createdAtMs, nowMs) },
      { title: "EXPIRES", cell: ({ expiresAtMs }) => formatTimeUntil(expiresAtMs, nowMs) },
      { title: "NODES", cell: ({ use, nodeCount }) => (use === "etcd" ? "-" : String(nodeCount)) },
      { title: "NOTE", cell: (authority) => authorityNote(authority, nowMs) },
    ],
  };
}

export function authorityJson({
  fingerprint,
  use,
  state,
  createdAtMs,
  expiresAtMs,
  removalAtMs,
  waitingFor,
  nodes,
  nodeCount,
  certificate,
}: AuthorityRow): object {
  return {
    fingerprint,
    use,
    state: authorityStateName(state),
    createdAtMs,
    expiresAtMs,
    removalAtMs,
    waitingFor,
    nodes,
    nodeCount,
    certificate,
  };
}

function authorityNote({ state, removalAtMs, waitingFor }: AuthorityStatus, nowMs: number): string {
  if (waitingFor.length > 0) return `${waitingReason(state)} by ${waitingFor.join(", ")}`;
  return removalAtMs === 0 ? "" : `removed ${formatTimeUntil(removalAtMs, nowMs)}`;
}

function waitingReason(state: AuthorityState): string {
  switch (state) {
    case AuthorityState.RETIRING:
      return "still used";
    case AuthorityState.REMOVING:
      return "still trusted";
    default:
      return "not trusted yet";
  }
}
