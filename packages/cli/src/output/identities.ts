import type { JoinToken, User } from "@berth/proto";
import { formatTimeSince, formatTimeUntil } from "./human.js";
import type { Listing } from "./print.js";
import { joinKindName, userRoleName } from "./state-names.js";

/** Describes the output of `berth token ls`, as a table and as JSON. */
export function tokenListing(rows: readonly JoinToken[], nowMs: number): Listing<JoinToken> {
  return {
    rows,
    id: ({ id }) => id,
    json: tokenJson,
    columns: [
      { title: "ID", cell: ({ id }) => id },
      { title: "ROLE", cell: ({ kind }) => joinKindName(kind) },
      { title: "NAME", cell: ({ subject }) => subject },
      { title: "USES LEFT", cell: ({ usesLeft }) => String(usesLeft) },
      { title: "EXPIRES", cell: ({ expiresAtMs }) => formatTimeUntil(expiresAtMs, nowMs) },
      { title: "APPROVAL", cell: ({ requiresApproval }) => (requiresApproval ? "required" : "") },
    ],
  };
}

export function tokenJson({
  id,
  kind,
  subject,
  usesLeft,
  requiresApproval,
  labels,
  createdAtMs,
  expiresAtMs,
}: JoinToken): object {
  return {
    id,
    role: joinKindName(kind),
    name: subject,
    usesLeft,
    requiresApproval,
    labels,
    createdAtMs,
    expiresAtMs,
  };
}

/** Describes the output of `berth user ls`, as a table and as JSON. */
export function userListing(rows: readonly User[], nowMs: number): Listing<User> {
  return {
    rows,
    id: ({ name }) => name,
    json: userJson,
    columns: [
      { title: "NAME", cell: ({ name }) => name },
      { title: "ROLE", cell: ({ role }) => userRoleName(role) },
      { title: "STACKS", cell: ({ stacks }) => stacks || "*" },
      { title: "CREATED", cell: ({ createdAtMs }) => formatTimeSince(createdAtMs, nowMs) },
      {
        title: "JOINED",
        cell: ({ joinedAtMs }) => (joinedAtMs === 0 ? "never" : formatTimeSince(joinedAtMs, nowMs)),
      },
    ],
  };
}

export function userJson({ name, role, stacks, createdAtMs, joinedAtMs, certificateName }: User): object {
  return { name, role: userRoleName(role), stacks, createdAtMs, joinedAtMs, certificateName };
}
