import {
  BerthError,
  type GetCallerResponse,
  type InviteUserRequest,
  type InviteUserResponse,
  isGlob,
  JoinKind,
  type ListUsersResponse,
  type RemoveUserRequest,
  type RemoveUserResponse,
  type User,
  UserRole,
} from "@berth/proto";
import { identityNameProblem } from "@berth/proto/identity";
import { type Caller, LOCAL_USER } from "@berth/proto/rpc";
import type { Change } from "../../state/change.js";
import type { ApiContext } from "../api-context.js";
import { findUser, MAX_USER_NAME_LENGTH, newCertificateName } from "./certificate-name.js";
import { newTokenRecord, tokenCreationChanges, tokenCreationError, ttlProblems } from "./join-tokens.js";
import { requireIssuer } from "./require-issuer.js";

/** Maximum number of users, which take space in etcd and in the leader's memory. */
const MAX_USERS = 10_000;

/** Maximum length of a stack pattern. */
const MAX_PATTERN_LENGTH = 128;

const ASSIGNABLE_ROLES: ReadonlySet<UserRole> = new Set([UserRole.VIEWER, UserRole.DEPLOYER, UserRole.ADMIN]);

/**
 * Creates or changes a user, and returns an invitation. Earlier invitations of the user are removed. The user's
 * existing certificate stays valid, with the new role.
 *
 * @throws BerthError BERTH_INPUT_INVALID with all problems, BERTH_LIMIT_EXCEEDED
 */
export async function inviteUser(
  request: InviteUserRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<InviteUserResponse> {
  const { name, role, stacks, ttlMs } = request;
  const problems = [...userProblems(request), ...ttlProblems(ttlMs)];
  if (problems.length > 0) throw tokenCreationError(problems);
  const nowMs = context.runtime.wallClockMs();
  const newId = context.runtime.newId();
  const invitation = requireIssuer(context).createToken(JoinKind.USER);
  const record = newTokenRecord(
    invitation,
    { ttlMs, uses: 1, subject: name, requiresApproval: false, labels: {} },
    nowMs,
  );
  const user = await context.writer.submit((state) => {
    const existing = state.users.get(name);
    if (existing === undefined && state.users.size >= MAX_USERS) throw tooManyUsersError();
    const invited: User = {
      name,
      role,
      stacks,
      createdAtMs: existing?.createdAtMs ?? nowMs,
      joinedAtMs: existing?.joinedAtMs ?? 0,
      certificateName: existing?.certificateName ?? newCertificateName(name, newId),
    };
    const tokenChanges = tokenCreationChanges(
      record,
      state,
      nowMs,
      ({ kind, subject }) => kind === JoinKind.USER && subject === name,
    );
    return { changes: [{ kind: "put-user", user: invited }, ...tokenChanges], result: invited };
  }, signal);
  return { invitation, user };
}

/**
 * Returns the calling user.
 *
 * @throws BerthError BERTH_NOT_FOUND for a user who was removed since the call arrived
 */
export function getCaller({ state }: Pick<ApiContext, "state">, caller: Caller): GetCallerResponse {
  const certificateName = caller.kind === "user" ? caller.name : "";
  if (certificateName === LOCAL_USER.name) return { name: certificateName, role: UserRole.ADMIN, stacks: "" };
  const user = findUser(certificateName, state.users);
  if (user === undefined) throw userNotFoundError(certificateName);
  return { name: user.name, role: user.role, stacks: user.stacks };
}

/** Lists all users, sorted by name. */
export function listUsers({ state }: ApiContext): ListUsersResponse {
  return { users: [...state.users.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/**
 * Removes a user and the user's invitations.
 *
 * @throws BerthError BERTH_NOT_FOUND
 */
export async function removeUser(
  { name }: RemoveUserRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveUserResponse> {
  await writer.submit((state) => {
    if (!state.users.has(name)) throw userNotFoundError(name);
    const invitations = [...state.joinTokens.values()].filter(
      ({ kind, subject }) => kind === JoinKind.USER && subject === name,
    );
    return {
      changes: [
        { kind: "delete-user", userName: name },
        ...invitations.map(({ id }): Change => ({ kind: "delete-joinToken", tokenId: id })),
      ],
      result: undefined,
    };
  }, signal);
  return { name };
}

function userProblems({ name, role, stacks }: InviteUserRequest): string[] {
  const problems: string[] = [];
  const nameProblem = identityNameProblem(name);
  if (nameProblem !== undefined) problems.push(nameProblem);
  if (name.length > MAX_USER_NAME_LENGTH) {
    problems.push(`the name must have at most ${MAX_USER_NAME_LENGTH} characters`);
  }
  if (name === LOCAL_USER.name) {
    problems.push(`the name ${name} is reserved for the administrator of a server's host`);
  }
  if (!ASSIGNABLE_ROLES.has(role)) problems.push("the role must be viewer, deployer or admin");
  if (stacks !== "" && role !== UserRole.DEPLOYER) problems.push("only a deployer is limited to stacks");
  if (
    stacks.length > MAX_PATTERN_LENGTH ||
    (stacks !== "" && !isGlob(stacks) && !/^[a-z0-9_-]+$/.test(stacks))
  ) {
    problems.push("the pattern of stacks must be a name or a glob");
  }
  return problems;
}

function userNotFoundError(name: string): BerthError {
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `no user ${JSON.stringify(name.slice(0, 80))}; see "berth user ls"`,
  });
}

function tooManyUsersError(): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `the cluster has ${MAX_USERS} users, which is the limit; remove some with "berth user rm"`,
  });
}
