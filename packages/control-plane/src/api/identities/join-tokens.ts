import {
  BerthError,
  type CreateJoinTokenRequest,
  type CreateJoinTokenResponse,
  findByPrefix,
  JoinKind,
  type JoinToken,
  type ListJoinTokensResponse,
  type RemoveJoinTokenRequest,
  type RemoveJoinTokenResponse,
} from "@berth/proto";
import { joinTokenId, parseJoinToken } from "@berth/proto/identity";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { requireValidLabels } from "../nodes.js";
import { requireIssuer } from "./require-issuer.js";

const HOSTNAME_PATTERN = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

const MINUTE_MS = 60 * 1_000;

/** Shortest validity of a token. */
const MIN_TTL_MS = MINUTE_MS;

/** Longest validity of a token. */
const MAX_TTL_MS = 30 * 24 * 60 * MINUTE_MS;

/** Maximum number of uses of a token. */
const MAX_USES = 10_000;

/** Maximum number of tokens, which take space in etcd and in the leader's memory. */
const MAX_TOKENS = 1_000;

/**
 * Creates a join token for nodes or servers. Only the response contains the text of the token.
 *
 * @throws BerthError BERTH_INPUT_INVALID with all problems, or with those of the labels; BERTH_LIMIT_EXCEEDED
 */
export async function createJoinToken(
  request: CreateJoinTokenRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<CreateJoinTokenResponse> {
  const { kind, ttlMs, uses, hostname, requiresApproval, replaceOthers, labels } = request;
  const problems = requestProblems(request);
  if (problems.length > 0) throw tokenCreationError(problems);
  requireValidLabels(labels);
  const nowMs = context.runtime.wallClockMs();
  const token = requireIssuer(context).createToken(kind);
  const record = newTokenRecord(token, { ttlMs, uses, subject: hostname, requiresApproval, labels }, nowMs);
  await context.writer.submit((state) => {
    const isReplaced = (other: JoinToken): boolean => replaceOthers && other.kind === kind;
    return { changes: tokenCreationChanges(record, state, nowMs, isReplaced), result: undefined };
  }, signal);
  return { token, record: withoutHashes(record) };
}

/** Lists the tokens that can still be used, the oldest first, without their hashes. */
export function listJoinTokens({ state, runtime }: ApiContext): ListJoinTokensResponse {
  const nowMs = runtime.wallClockMs();
  const usable = [...state.joinTokens.values()].filter((token) => isUsable(token, nowMs));
  return { tokens: usable.sort((a, b) => a.createdAtMs - b.createdAtMs).map(withoutHashes) };
}

/**
 * Removes a token.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS
 */
export async function removeJoinToken(
  { token: reference }: RemoveJoinTokenRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveJoinTokenResponse> {
  const id = await writer.submit((state) => {
    const { id: tokenId } = findJoinToken(state, reference);
    return { changes: [{ kind: "delete-joinToken", tokenId }], result: tokenId };
  }, signal);
  return { id };
}

/** What a new token permits. */
export interface TokenGrant extends Pick<JoinToken, "subject" | "requiresApproval" | "labels"> {
  readonly ttlMs: number;
  readonly uses: number;
}

/** Returns the record of a new token. */
export function newTokenRecord(
  text: string,
  { ttlMs, uses, subject, requiresApproval, labels }: TokenGrant,
  nowMs: number,
): JoinToken {
  const { kind, hash } = parseJoinToken(text);
  return {
    id: joinTokenId(hash),
    kind,
    hash,
    subject,
    requiresApproval,
    labels,
    createdAtMs: nowMs,
    expiresAtMs: nowMs + ttlMs,
    usesLeft: uses,
    admissions: [],
  };
}

/**
 * Returns the changes that store a token and remove replaced and expired tokens. Exhausted tokens are kept, because
 * hosts may repeat their requests, unless the limit of tokens is reached.
 *
 * @throws BerthError BERTH_LIMIT_EXCEEDED
 */
export function tokenCreationChanges(
  record: JoinToken,
  { joinTokens }: Pick<ClusterState, "joinTokens">,
  nowMs: number,
  isReplaced: (other: JoinToken) => boolean,
): readonly Change[] {
  const others = [...joinTokens.values()];
  const isObsolete = (token: JoinToken): boolean => isReplaced(token) || nowMs >= token.expiresAtMs;
  const isFull = others.filter((token) => !isObsolete(token)).length >= MAX_TOKENS;
  const removed = others.filter((token) => isObsolete(token) || (isFull && token.usesLeft === 0));
  if (others.length - removed.length >= MAX_TOKENS) {
    throw new BerthError({
      code: "BERTH_LIMIT_EXCEEDED",
      message: `the cluster has ${MAX_TOKENS} join tokens, which is the limit; remove some with "berth token rm"`,
    });
  }
  return [
    ...removed.map(({ id }): Change => ({ kind: "delete-joinToken", tokenId: id })),
    { kind: "put-joinToken", joinToken: record },
  ];
}

/** Returns whether a text is a valid name of a joining host. */
export function isHostname(text: string): boolean {
  return HOSTNAME_PATTERN.test(text);
}

/** Returns the problems with the validity of a token. */
export function ttlProblems(ttlMs: number): string[] {
  if (ttlMs >= MIN_TTL_MS && ttlMs <= MAX_TTL_MS) return [];
  return ["the time to live must be from 1 minute to 30 days"];
}

export function tokenCreationError(problems: readonly string[]): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `no token was created: ${problems.join("; ")}`,
  });
}

/** Returns the problems of a request. Its labels are validated separately. */
function requestProblems(request: CreateJoinTokenRequest): readonly string[] {
  const { ttlMs, uses, hostname } = request;
  const problems = [...kindProblems(request), ...ttlProblems(ttlMs)];
  if (!(uses >= 1 && uses <= MAX_USES)) problems.push(`uses must be from 1 to ${MAX_USES}`);
  if (hostname !== "" && !isHostname(hostname)) {
    problems.push(
      `invalid hostname ${JSON.stringify(hostname.slice(0, 80))}; use up to 253 letters, digits, ".", "_" and "-"`,
    );
  }
  return problems;
}

function kindProblems({ kind, requiresApproval, labels }: CreateJoinTokenRequest): string[] {
  if (kind === JoinKind.NODE) return [];
  if (kind !== JoinKind.SERVER) return ["the role must be node or server; users get invitations"];
  return [
    ...(requiresApproval ? ["only nodes can wait for approval"] : []),
    ...(Object.keys(labels).length > 0 ? ["only nodes have labels"] : []),
  ];
}

function isUsable({ usesLeft, expiresAtMs }: JoinToken, nowMs: number): boolean {
  return usesLeft > 0 && nowMs < expiresAtMs;
}

function withoutHashes(token: JoinToken): JoinToken {
  return { ...token, hash: "", admissions: [] };
}

function findJoinToken({ joinTokens }: ClusterState, reference: string): JoinToken {
  const query = { noun: "join token", reference, listCommand: "berth token ls" };
  return findByPrefix(joinTokens.values(), { ...query, idOf: ({ id }) => id });
}
