import {
  Availability,
  BerthError,
  JoinKind,
  type JoinRequest,
  type JoinResponse,
  type JoinToken,
  type Node,
  NodeDescription,
  NodeState,
} from "@berth/proto";
import {
  type Identity,
  joinTokenId,
  type ParsedJoinToken,
  parseJoinToken,
  type TokenRejection,
  tokenRejection,
} from "@berth/proto/identity";
import type { Decision } from "../../reconciler/writer.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { isHostname } from "./join-tokens.js";
import { requireIssuer } from "./require-issuer.js";

/** A host or user that presents a join token. */
export interface Joiner {
  readonly token: ParsedJoinToken;
  /** Ignored for users, whose name is in the token's record. */
  readonly hostname: string;
  /** The id of the node or server, if it is admitted. */
  readonly newId: string;
}

/** Whom a token admits. */
interface Admission {
  readonly identity: Identity;
  readonly awaitsApproval: boolean;
}

/**
 * Admits a host or a user with a join token, and issues the first certificate.
 * @throws BerthError BERTH_TOKEN_INVALID, BERTH_INPUT_INVALID
 */
export async function join(
  request: JoinRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<JoinResponse> {
  const { state, writer, runtime, servers, secrets } = context;
  const issuer = requireIssuer(context);
  const token = parseJoinToken(request.token);
  const { hostname } = request;
  if (token.kind !== JoinKind.USER && !isHostname(hostname)) throw invalidHostname(hostname);
  const joiner: Joiner = { token, hostname, newId: runtime.newId() };
  const nowMs = runtime.wallClockMs();
  // The certificate is issued first: an invalid request must not use up the token.
  const { identity } = decideAdmission(joiner, state, nowMs).result;
  const issued = await issuer.issue(identity, request.certificateRequest);
  const { awaitsApproval } = await writer.submit(
    (current) => decideAdmission(joiner, current, nowMs),
    signal,
  );
  return {
    ...{ ...issued, servers: [...servers()], awaitsApproval },
    // Only a token for servers leads to this identity.
    server: identity.kind === "server" ? secrets : undefined,
  };
}

/** Decides whether a token admits its bearer, and counts its use. @throws BerthError BERTH_TOKEN_INVALID */
export function decideAdmission(joiner: Joiner, state: ClusterState, nowMs: number): Decision<Admission> {
  const { token, hostname } = joiner;
  const record = state.joinTokens.get(joinTokenId(token.hash));
  const subject = token.kind === JoinKind.USER ? (record?.subject ?? "") : hostname;
  const rejection = tokenRejection(record, { token, subject }, nowMs);
  if (rejection !== undefined || record === undefined) throw rejectedToken(rejection ?? "unknown", record);
  const { changes, identity } = admissionOf(joiner, record, state, nowMs);
  const used: JoinToken = { ...record, usesLeft: record.usesLeft - 1 };
  return {
    changes: [{ kind: "put-joinToken", joinToken: used }, ...changes],
    result: { identity, awaitsApproval: record.requiresApproval },
  };
}

function admissionOf(
  { newId, hostname }: Joiner,
  { kind, subject, requiresApproval }: JoinToken,
  state: ClusterState,
  nowMs: number,
): { readonly changes: readonly Change[]; readonly identity: Identity } {
  switch (kind) {
    case JoinKind.NODE: {
      const node = joinedNode(newId, { hostname, awaitsApproval: requiresApproval, nowMs });
      return { identity: { kind: "node", id: newId }, changes: [{ kind: "put-node", node }] };
    }
    case JoinKind.SERVER:
      return { identity: { kind: "server", id: newId }, changes: [] };
    case JoinKind.USER: {
      const user = state.users.get(subject);
      if (user === undefined) throw rejectedToken("unknown", undefined);
      return {
        identity: { kind: "user", name: user.certificateName },
        changes: [{ kind: "put-user", user: { ...user, joinedAtMs: nowMs } }],
      };
    }
    default:
      throw rejectedToken("unknown", undefined);
  }
}

/** Returns the record of a node that has joined and whose agent has not connected yet. */
export function joinedNode(
  id: string,
  {
    hostname,
    awaitsApproval,
    nowMs,
  }: { readonly hostname: string; readonly awaitsApproval: boolean; readonly nowMs: number },
): Node {
  return {
    id,
    description: NodeDescription.fromPartial({ hostname }),
    availability: Availability.ACTIVE,
    labels: {},
    state: NodeState.DOWN,
    stateMessage: "its agent has not connected yet",
    stateSinceMs: nowMs,
    createdAtMs: nowMs,
    agentUnreachable: false,
    // It has never run a task.
    fenced: true,
    ignoresProbes: false,
    awaitsApproval,
  };
}

function rejectedToken(rejection: TokenRejection, record: JoinToken | undefined): BerthError {
  return new BerthError({
    code: "BERTH_TOKEN_INVALID",
    message: `the cluster rejected the join token: ${describeRejection(rejection, record)}: ask for a new token`,
    details: { reason: rejection },
  });
}

function describeRejection(rejection: TokenRejection, record: JoinToken | undefined): string {
  switch (rejection) {
    case "unknown":
      return "there is no such token, or it was removed";
    case "expired":
      return `it expired at ${new Date(record?.expiresAtMs ?? 0).toISOString()}`;
    case "used-up":
      return "it has been used as often as it may be";
    case "other-subject":
      return `it is for the host ${JSON.stringify(record?.subject)} only`;
  }
}

function invalidHostname(hostname: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `invalid hostname ${JSON.stringify(hostname.slice(0, 80))}: use up to 253 letters, digits, ".", "_" and "-"`,
  });
}
