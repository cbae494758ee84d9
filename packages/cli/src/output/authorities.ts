import type { AuthorityStatus } from "@berth/proto";
import { formatTimeSince, formatTimeUntil } from "./human.js";
import type { Listing } from "./print.js";
import { authorityStateName } from "./state-names.js";

const ID_DIGITS = 12;

/** Returns the first digits of a CA's fingerprint, which name it in tables and commands. */
export function authorityId({ fingerprint }: Pick<AuthorityStatus, "fingerprint">): string {
  return fingerprint.slice(0, ID_DIGITS);
}

/** Returns the columns of `berth ca ls`. */
export function authorityListing(rows: readonly AuthorityStatus[], nowMs: number): Listing<AuthorityStatus> {
  return {
    rows,
    id: authorityId,
    json: authorityJson,
    columns: [
      { title: "ID", cell: authorityId },
      { title: "STATE", cell: ({ state }) => authorityStateName(state) },
      { title: "CREATED", cell: ({ createdAtMs }) => formatTimeSince(createdAtMs, nowMs) },
      { title: "EXPIRES", cell: ({ expiresAtMs }) => formatTimeUntil(expiresAtMs, nowMs) },
      { title: "NODES", cell: ({ nodeCount }) => String(nodeCount) },
      { title: "NOTE", cell: (authority) => authorityNote(authority, nowMs) },
    ],
  };
}

export function authorityJson({
  fingerprint,
  state,
  createdAtMs,
  expiresAtMs,
  removalAtMs,
  waitingFor,
  nodes,
  nodeCount,
  certificate,
}: AuthorityStatus): object {
  return {
    ...{ fingerprint, state: authorityStateName(state), createdAtMs, expiresAtMs, removalAtMs },
    ...{ waitingFor, nodes, nodeCount, certificate },
  };
}

function authorityNote({ removalAtMs, waitingFor }: AuthorityStatus, nowMs: number): string {
  if (waitingFor.length > 0) return `not trusted yet by ${waitingFor.join(", ")}`;
  return removalAtMs === 0 ? "" : `removed ${formatTimeUntil(removalAtMs, nowMs)}`;
}
