import { BerthError, credentialProblems, type RegistryCredentials, type RegistryLogin } from "@berth/proto";
import { type LoginSealer, loginKey } from "../../core/registries/registry-logins.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { type ServiceViolation, violationsError } from "./violations.js";

/** Maximum number of credentials in one request. */
const MAX_CREDENTIALS = 100;

/** Maximum number of registry logins in a cluster. An agent may need all of them, in one message. */
const MAX_LOGINS = 10_000;

/** Maximum total size of all registry logins in a cluster. */
const MAX_TOTAL_BYTES = 8 * 1024 * 1024;

export interface LoginContext {
  /** The stack that the logins belong to; empty for all stacks. */
  readonly stack: string;
  readonly state: ClusterState;
  /** Encrypts registry logins. Undefined if the server has no cluster key. */
  readonly sealer: LoginSealer | undefined;
  readonly nowMs: number;
  readonly newId: () => string;
}

export interface LoginDecision {
  readonly changes: readonly Change[];
  readonly logins: readonly RegistryLogin[];
}

/**
 * Returns the changes that store credentials, which must be valid. They replace stored credentials for the same
 * registry and stack.
 *
 * @throws BerthError BERTH_UNSUPPORTED without a cluster key; BERTH_LIMIT_EXCEEDED when the cluster has too many logins
 */
export function decideLogins(
  credentials: readonly RegistryCredentials[],
  context: LoginContext,
): LoginDecision {
  const decision = sealLogins(credentials, context);
  requireSpace(decision.logins, [], context.state);
  return decision;
}

function sealLogins(
  credentials: readonly RegistryCredentials[],
  { stack, state, sealer, nowMs, newId }: LoginContext,
): LoginDecision {
  if (credentials.length === 0) return { changes: [], logins: [] };
  if (sealer === undefined) {
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message: "this server cannot store registry logins: it has no cluster key to encrypt them",
    });
  }
  const logins = credentials.map(({ server, username, secret, isIdentityToken }) => {
    const existing = state.logins.byKey(loginKey({ server, stack }));
    const id = existing?.id ?? newId();
    // Copying keeps fields that a newer release has written.
    const login = { ...existing, id, server, stack, username, updatedAtMs: nowMs, isIdentityToken };
    return { ...login, sealedSecret: sealer.seal(login, secret) };
  });
  return { changes: logins.map((login) => ({ kind: "put-login", login })), logins };
}

/**
 * Returns the changes that store the credentials of a deployment, and remove the other logins of its stack.
 *
 * @throws BerthError as `decideLogins`
 */
export function decideStackLogins(
  credentials: readonly RegistryCredentials[],
  context: LoginContext,
): readonly Change[] {
  const { changes, logins } = sealLogins(credentials, context);
  const keptIds = new Set(logins.map(({ id }) => id));
  const storedLogins = [...context.state.logins.ofStack(context.stack).values()];
  const obsolete = storedLogins.filter(({ id }) => !keptIds.has(id));
  requireSpace(logins, obsolete, context.state);
  return [...obsolete.map(deletion), ...changes];
}

/** @throws BerthError BERTH_SPEC_INVALID for invalid credentials, and for credentials without a stack */
export function requireStackForLogins(
  stack: string,
  credentials: readonly RegistryCredentials[],
  errorPrefix: string,
): void {
  const violations = [...loginViolations(credentials)];
  if (credentials.length > 0 && stack === "") {
    const message = "the service belongs to no stack; use berth registry login instead";
    violations.push({ service: "", path: "registry_logins", message });
  }
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, violations);
}

/** Returns the changes that remove the logins of stacks whose services are all being removed. */
export function decideLoginRemoval(
  stacks: Iterable<string>,
  removedServiceIds: ReadonlySet<string>,
  state: ClusterState,
): readonly Change[] {
  return [...new Set(stacks)].flatMap((stack) => {
    if (stack === "") return [];
    const services = [...state.services.ofStack(stack).values()];
    const isGone = services.every(({ id, removing }) => removing || removedServiceIds.has(id));
    return isGone ? [...state.logins.ofStack(stack).values()].map(deletion) : [];
  });
}

/** Checks the credentials of a request. */
export function loginViolations(credentials: readonly RegistryCredentials[]): readonly ServiceViolation[] {
  if (credentials.length > MAX_CREDENTIALS) {
    const message = `the request has credentials for ${credentials.length} registries (maximum ${MAX_CREDENTIALS})`;
    return [{ service: "", path: "registry_logins", message }];
  }
  const servers = new Set<string>();
  return credentials.flatMap((login, index) => {
    const problems = [...credentialProblems(login)];
    if (servers.has(login.server)) problems.push(`${login.server} is listed twice`);
    servers.add(login.server);
    return problems.map((message) => ({ service: "", path: `registry_logins[${index}]`, message }));
  });
}

function deletion({ id }: RegistryLogin): Change {
  return { kind: "delete-login", loginId: id };
}

/** Checks the limits of the cluster as they would be after the changes. */
function requireSpace(
  stored: readonly RegistryLogin[],
  removed: readonly RegistryLogin[],
  { logins }: ClusterState,
): void {
  if (stored.length === 0) return;
  let count = logins.size - removed.length;
  let bytes = removed.reduce((sum, { sealedSecret }) => sum - sealedSecret.length, logins.sealedBytes);
  for (const { id, sealedSecret } of stored) {
    const replaced = logins.get(id);
    if (replaced === undefined) count += 1;
    bytes += sealedSecret.length - (replaced?.sealedSecret.length ?? 0);
  }
  if (count <= MAX_LOGINS && bytes <= MAX_TOTAL_BYTES) return;
  throw new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `the registry logins were not stored: the cluster would exceed ${MAX_LOGINS} logins or ${MAX_TOTAL_BYTES} bytes; remove some with "berth registry logout"`,
  });
}
