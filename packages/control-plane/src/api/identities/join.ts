import {
  Availability,
  assertNever,
  BerthError,
  JoinKind,
  type JoinRequest,
  type JoinResponse,
  type JoinToken,
  type Node,
  NodeDescription,
  NodeState,
  type ServerSecrets,
  type TokenAdmission,
} from "@berth/proto";
import {
  hashRequestKey,
  type Identity,
  joinTokenId,
  type ParsedJoinToken,
  parseJoinToken,
  type TokenRejection,
  tokenRejection,
} from "@berth/proto/identity";
import type { CallContext } from "@berth/proto/rpc";
import { requireRoomForNode, requireRoomForServer } from "../../core/membership/member-limits.js";
import { joinedServer } from "../../core/membership/server-records.js";
import { issuingAuthority } from "../../identity/sealed-authority.js";
import type { ClusterSecrets } from "../../identity/server-directory.js";
import type { Decision } from "../../reconciler/writer.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { isHostname } from "./join-tokens.js";
import { isMember, recordAuthority } from "./renew-certificate.js";
import { requireIssuer } from "./require-issuer.js";

/**
 * Maximum number of admissions in the record of a token, which can have up to 10,000 uses. The newest ones are kept.
 */
const MAX_ADMISSIONS = 64;

/**
 * Maximum number of repetitions of a join request. A host repeats a request after a crash, and each repetition adds an
 * audit record.
 */
const MAX_REPEATS = 10;

/** A token and the host that presents it. */
export interface PresentedToken {
  readonly token: ParsedJoinToken;
  /** Ignored for users, whose name is in the token's record. */
  readonly hostname: string;
}

/** A host or user that presents a join token. */
export interface Joiner extends PresentedToken {
  /** SHA-256 of the public key for which it requests a certificate. */
  readonly keyHash: string;
  /** ID for a node or server that was not admitted before. */
  readonly newId: string;
}

/** The identity that a token admits. */
interface Admission {
  readonly identity: Identity;
  readonly awaitsApproval: boolean;
}

/**
 * Admits a host or a user with a join token, and issues the first certificate.
 *
 * @throws BerthError BERTH_TOKEN_INVALID, BERTH_INPUT_INVALID, BERTH_LIMIT_EXCEEDED
 */
export async function join(
  request: JoinRequest,
  context: ApiContext,
  { client, signal }: Pick<CallContext, "client" | "signal">,
): Promise<JoinResponse> {
  const { state, writer, runtime, servers, secrets, unknownTokens } = context;
  const issuer = requireIssuer(context);
  const token = parseJoinToken(request.token);
  const { hostname } = request;
  if (token.kind !== JoinKind.USER && !isHostname(hostname)) throw invalidHostnameError(hostname);
  const nowMs = runtime.wallClockMs();
  const clockMs = runtime.clock.nowMs();
  unknownTokens.requireAllowed(client, clockMs);
  if (!state.joinTokens.has(joinTokenId(token.hash))) unknownTokens.add(client, clockMs);
  // Checked first, so that callers without a valid token do not reach the parser of certificate requests.
  requireToken({ token, hostname }, state, nowMs);
  // Also validates the request, so that an invalid one does not use up the token.
  const keyHash = await hashRequestKey(request.certificateRequest);
  const joiner: Joiner = { token, hostname, keyHash, newId: runtime.newId() };
  const { identity, awaitsApproval } = await writer.submit(
    (current) => decideAdmission(joiner, current, nowMs),
    signal,
  );
  const issued = await issuer.issue(identity, request.certificateRequest);
  if (identity.kind === "node") await recordAuthority(identity.id, issued.issuer, context, signal);
  const { certificate, authorities } = issued;
  return {
    certificate,
    authorities,
    servers: [...servers()],
    awaitsApproval,
    // Only a token for servers leads to this identity.
    server: identity.kind === "server" && secrets !== undefined ? serverSecrets(secrets) : undefined,
  };
}

/** During a rotation of the cluster key, the server gets the current key, and fetches the next one when it starts. */
function serverSecrets({ clusterKey, etcdAuthorities }: ClusterSecrets): ServerSecrets {
  const etcdAuthority = issuingAuthority(etcdAuthorities);
  const otherEtcdAuthorities = etcdAuthorities.filter((authority) => authority !== etcdAuthority);
  return { clusterKey: clusterKey.current.bytes, etcdAuthority, otherEtcdAuthorities };
}

/**
 * Decides whether a token admits its bearer, and counts the use.
 *
 * A request with a key that the token has already admitted is a retry after a lost response. The bearer gets the same
 * identity, and the use is not counted again.
 *
 * @throws BerthError BERTH_TOKEN_INVALID, BERTH_LIMIT_EXCEEDED
 */
export function decideAdmission(joiner: Joiner, state: ClusterState, nowMs: number): Decision<Admission> {
  const { record, isUsedUp } = requireToken(joiner, state, nowMs);
  const earlier = record.admissions.find(({ keyHash }) => keyHash === joiner.keyHash);
  const repeated = earlier && repeatAdmission(earlier, record, state);
  if (repeated !== undefined) return repeated;
  if (isUsedUp) throw rejectedTokenError("used-up", record);
  const { changes, identity } = admissionOf(joiner, record, state, nowMs);
  const admission = { keyHash: joiner.keyHash, id: idOf(identity), repeats: 0 };
  const admissions = [...record.admissions, admission].slice(-MAX_ADMISSIONS);
  const used: JoinToken = { ...record, usesLeft: record.usesLeft - 1, admissions };
  return {
    changes: [{ kind: "put-joinToken", joinToken: used }, ...changes],
    result: { identity, awaitsApproval: record.requiresApproval },
  };
}

/**
 * Returns the record of a token, which may be exhausted.
 *
 * @throws BerthError BERTH_TOKEN_INVALID for other rejections
 */
function requireToken(
  { token, hostname }: PresentedToken,
  { joinTokens }: Pick<ClusterState, "joinTokens">,
  nowMs: number,
): { readonly record: JoinToken; readonly isUsedUp: boolean } {
  const record = joinTokens.get(joinTokenId(token.hash));
  const subject = token.kind === JoinKind.USER ? (record?.subject ?? "") : hostname;
  const rejection = tokenRejection(record, { token, subject }, nowMs);
  const isUsedUp = rejection === "used-up";
  if (record === undefined || (rejection !== undefined && !isUsedUp)) {
    throw rejectedTokenError(rejection ?? "unknown", record);
  }
  return { record, isUsedUp };
}

/** Returns an earlier admission, or undefined if its owner was removed meanwhile, or after too many repetitions. */
function repeatAdmission(
  earlier: TokenAdmission,
  record: JoinToken,
  { nodes, users, servers }: ClusterState,
): Decision<Admission> | undefined {
  const identity = identityOf(record.kind, earlier.id);
  if (
    earlier.repeats >= MAX_REPEATS ||
    identity === undefined ||
    !isMember(identity, { nodes, users, servers })
  ) {
    return undefined;
  }
  const repeats = earlier.repeats + 1;
  const admissions = record.admissions.map((admission) =>
    admission === earlier ? { ...earlier, repeats } : admission,
  );
  return {
    changes: [{ kind: "put-joinToken", joinToken: { ...record, admissions } }],
    result: { identity, awaitsApproval: nodes.get(earlier.id)?.awaitsApproval ?? false },
  };
}

function identityOf(kind: JoinKind, id: string): Identity | undefined {
  switch (kind) {
    case JoinKind.NODE:
      return { kind: "node", id };
    case JoinKind.SERVER:
      return { kind: "server", id };
    case JoinKind.USER:
      return { kind: "user", name: id };
    default:
      return undefined;
  }
}

function idOf(identity: Identity): string {
  return identity.kind === "user" ? identity.name : identity.id;
}

function admissionOf(
  { newId, hostname }: Joiner,
  { kind, subject, requiresApproval, labels }: JoinToken,
  state: ClusterState,
  nowMs: number,
): { readonly changes: readonly Change[]; readonly identity: Identity } {
  switch (kind) {
    case JoinKind.NODE: {
      const node = joinedNode(newId, { hostname, labels, awaitsApproval: requiresApproval, nowMs });
      requireRoomForNode(state.nodes, node);
      return { identity: { kind: "node", id: newId }, changes: [{ kind: "put-node", node }] };
    }
    case JoinKind.SERVER:
      requireRoomForServer(state.servers.values());
      return {
        identity: { kind: "server", id: newId },
        changes: [{ kind: "put-server", server: joinedServer(newId, hostname, nowMs) }],
      };
    case JoinKind.USER: {
      const user = state.users.get(subject);
      if (user === undefined) throw rejectedTokenError("unknown", undefined);
      return {
        identity: { kind: "user", name: user.certificateName },
        changes: [{ kind: "put-user", user: { ...user, joinedAtMs: nowMs } }],
      };
    }
    default:
      throw rejectedTokenError("unknown", undefined);
  }
}

/** The host of a node that joins. */
export interface JoiningNode extends Pick<Node, "labels" | "awaitsApproval"> {
  readonly hostname: string;
  readonly nowMs: number;
}

/** Returns the record of a node that has joined and whose agent has not connected yet. */
export function joinedNode(id: string, { hostname, labels, awaitsApproval, nowMs }: JoiningNode): Node {
  return {
    id,
    description: NodeDescription.fromPartial({ hostname }),
    availability: Availability.ACTIVE,
    labels,
    state: NodeState.DOWN,
    stateMessage: "its agent has not connected yet",
    stateSinceMs: nowMs,
    createdAtMs: nowMs,
    agentUnreachable: false,
    // A node that never ran a task certainly runs no at-most-one tasks.
    fenced: true,
    ignoresProbes: false,
    hostsServer: false,
    awaitsApproval,
    certificateAuthority: "",
  };
}

function rejectedTokenError(rejection: TokenRejection, record: JoinToken | undefined): BerthError {
  return new BerthError({
    code: "BERTH_TOKEN_INVALID",
    message: `the cluster rejected the join token: ${describeRejection(rejection, record)}; ask for a new token`,
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
      return "it has no uses left";
    case "other-subject":
      return `it is for the host ${JSON.stringify(record?.subject)} only`;
    default:
      return assertNever(rejection);
  }
}

function invalidHostnameError(hostname: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `invalid hostname ${JSON.stringify(hostname.slice(0, 80))}; use up to 253 letters, digits, ".", "_" and "-"`,
  });
}
