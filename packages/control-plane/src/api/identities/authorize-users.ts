import { BerthError, ControlServiceService, UserRole } from "@berth/proto";
import type { Identity } from "@berth/proto/identity";
import {
  type CallContext,
  describeCaller,
  LOCAL_USER,
  PERMISSIONS,
  type Role,
  type RpcHandlers,
  type UserRole as UserRoleName,
} from "@berth/proto/rpc";
import type { ClusterState } from "../../state/cluster-state.js";
import { findUser } from "./certificate-name.js";

type Control = typeof ControlServiceService;
type Handlers = RpcHandlers<Control>;
type Method = (input: never, context: CallContext) => unknown;

/**
 * Returns handlers that check the roles of users. Any server accepts the calls of all users with a certificate, since
 * only the leader knows their roles. Calls of other callers were decided when they arrived.
 */
export function authorizeUsers(handlers: Handlers, state: Pick<ClusterState, "users">): Handlers {
  const entries = Object.entries(ControlServiceService).map(([name, { path }]) => {
    const method = handlers[name as keyof Control] as Method;
    const authorized: Method = (input, context) => {
      if (context.caller.kind === "user") requireRole(path, context.caller, state);
      return method(input, context);
    };
    return [name, authorized] as const;
  });
  return Object.fromEntries(entries) as unknown as Handlers;
}

/** Returns the roles of a user; none for a user who was removed. */
export function rolesOf(
  { name }: Identity & { readonly kind: "user" },
  { users }: Pick<ClusterState, "users">,
): readonly UserRoleName[] {
  if (name === LOCAL_USER.name) return ["admin"];
  switch (findUser(name, users)?.role) {
    case UserRole.VIEWER:
      return ["viewer"];
    case UserRole.DEPLOYER:
      return ["deployer"];
    case UserRole.ADMIN:
      return ["admin"];
    default:
      return [];
  }
}

function requireRole(
  path: string,
  user: Identity & { readonly kind: "user" },
  state: Pick<ClusterState, "users">,
): void {
  const roles: readonly Role[] = rolesOf(user, state);
  const allowed: readonly Role[] = PERMISSIONS[path as keyof typeof PERMISSIONS] ?? [];
  if (roles.some((role) => allowed.includes(role))) return;
  const method = path.slice(path.lastIndexOf("/") + 1);
  const own = roles.length === 0 ? "no role: it was removed" : `the role ${roles.join(", ")}`;
  throw new BerthError({
    code: "BERTH_PERMISSION_DENIED",
    message: `${describeCaller(user)} has ${own}, and may not call ${method}: it needs the role ${allowed.join(" or ")}`,
  });
}
