import { BerthError, type ErrorCode } from "../errors.js";
import type { CertificateFacts } from "../identity/certificate.js";
import { type Identity, parseIdentityUri } from "../identity/identity.js";
import { type Caller, describeCaller } from "./caller.js";
import type { Permissions, Role, UserRole } from "./permissions.js";
import type { RpcIdentity } from "./rpc-identity.js";
import type { RpcDefinition } from "./types.js";

/** The rules by which a server accepts callers. */
export interface RpcSecurity {
  readonly identity: RpcIdentity;
  readonly permissions: Permissions;
  /** Returns a user's roles; none for a user who does not exist. Called for each call. */
  readonly rolesOf: (user: Identity & { readonly kind: "user" }) => readonly UserRole[];
  readonly revocations?: Revocations;
  /** Called with each call of a known caller that is refused before its request is decoded. */
  readonly onRefused?: (call: RefusedRpc) => void;
}

/** A call that was refused because its caller lacks permission. */
export interface RefusedRpc {
  readonly path: string;
  /** The caller whose certificate the cluster has issued. It may have expired or been revoked. */
  readonly caller: Identity;
  /** "address:port" of the client. */
  readonly client: string;
  readonly errorCode: ErrorCode;
}

/** The certificates that the cluster has revoked, for example those of removed nodes. */
export interface Revocations {
  isRevoked(certificate: CertificateFacts): boolean;
  /** Calls the listener after each change. Returns a function that unsubscribes. */
  subscribe(listener: () => void): () => void;
}

/** A call before its request is decoded. */
export interface CallRequest {
  readonly path: string;
  /** The caller that the connection's certificate proves. */
  readonly peer: Caller;
  /** Claim that another server forwards the call. Undefined for a direct call. */
  readonly forwarded: { readonly callerUri: string | undefined } | undefined;
}

/** The part of `RpcSecurity` that decides about a call. */
export type AuthorizationRules = Pick<RpcSecurity, "permissions" | "rolesOf"> & { readonly cluster: string };

/**
 * Returns the caller of a call that is allowed: the original caller when a server forwarded it.
 *
 * @throws BerthError BERTH_UNAUTHENTICATED, BERTH_PERMISSION_DENIED
 */
export function authorizeCall({ path, peer, forwarded }: CallRequest, rules: AuthorizationRules): Caller {
  const caller = forwarded === undefined ? peer : originalCaller(peer, forwarded.callerUri, rules.cluster);
  // Records of a plain object's prototype, such as "constructor", are not methods.
  const allowed = Object.hasOwn(rules.permissions, path) ? (rules.permissions[path] ?? []) : [];
  const roles = rolesOf(caller, rules);
  if (roles.some((role) => allowed.includes(role))) return caller;
  throw deniedError(path, { caller, roles, allowed });
}

/** @throws Error if a method has no entry, so that a new method cannot be forgotten */
export function requirePermissionEntries(definition: RpcDefinition, permissions: Permissions): void {
  const missing = Object.values(definition).filter(({ path }) => !Object.hasOwn(permissions, path));
  if (missing.length === 0) return;
  throw new Error(`no permissions for ${missing.map(({ path }) => path).join(", ")}`);
}

/** Returns the caller whose call a server forwards. Only servers may speak for others. */
function originalCaller(peer: Caller, callerUri: string | undefined, cluster: string): Caller {
  if (peer.kind !== "server") {
    throw new BerthError({
      code: "BERTH_PERMISSION_DENIED",
      message: `${describeCaller(peer)} may not forward calls, which only servers may do; call the server directly`,
    });
  }
  if (callerUri === undefined) return { kind: "anonymous" };
  const original = parseIdentityUri(callerUri);
  if (original?.cluster === cluster) return original.identity;
  throw new BerthError({
    code: "BERTH_PERMISSION_DENIED",
    message: `${describeCaller(peer)} forwarded a call of an unknown caller: the servers may have different versions`,
  });
}

function rolesOf(caller: Caller, rules: AuthorizationRules): readonly Role[] {
  return caller.kind === "user" ? rules.rolesOf(caller) : [caller.kind];
}

function deniedError(
  path: string,
  { caller, roles, allowed }: { caller: Caller; roles: readonly Role[]; allowed: readonly Role[] },
): BerthError {
  const method = path.slice(path.lastIndexOf(".") + 1);
  if (caller.kind === "anonymous") {
    return new BerthError({
      code: "BERTH_UNAUTHENTICATED",
      message: `${method} requires a certificate of this cluster; join the cluster, or log in`,
    });
  }
  const rolesText = roles.length === 0 ? "no role" : `the role ${roles.join(", ")}`;
  const requirement =
    allowed.length === 0 ? "no role may call it" : `it requires the role ${allowed.join(" or ")}`;
  return new BerthError({
    code: "BERTH_PERMISSION_DENIED",
    message: `${describeCaller(caller)} with ${rolesText} may not call ${method}: ${requirement}`,
    // A user without a role was removed, which clients explain differently.
    details: { reason: roles.length === 0 ? "no-role" : "role" },
  });
}
