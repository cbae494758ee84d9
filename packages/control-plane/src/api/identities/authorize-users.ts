import { ControlServiceService, UserRole } from "@berth/proto";
import type { Identity } from "@berth/proto/identity";
import {
  authorizeCall,
  type CallContext,
  LOCAL_USER,
  PERMISSIONS,
  type RpcHandlers,
  type UserRole as UserRoleName,
} from "@berth/proto/rpc";
import type { ClusterState } from "../../state/cluster-state.js";
import { findUser } from "./certificate-name.js";

type Control = typeof ControlServiceService;
type Handlers = RpcHandlers<Control>;
type Method = (input: never, context: CallContext) => unknown;

/**
 * Returns handlers that check the roles of users. Servers accept the calls of all users with a certificate, because
 * only the leader knows their roles. Calls of other callers were authorized when they arrived.
 *
 * @param onDenied called with each denied call
 */
export function authorizeUsers(
  handlers: Handlers,
  state: Pick<ClusterState, "users">,
  onDenied: (path: string, context: CallContext, error: unknown) => void,
): Handlers {
  const rules = {
    permissions: PERMISSIONS,
    rolesOf: (user: Identity & { readonly kind: "user" }) => rolesOf(user, state),
    // The server has already resolved forwarded callers.
    cluster: "",
  };
  const entries = Object.entries(ControlServiceService).map(([name, { path }]) => {
    const method = handlers[name as keyof Control] as Method;
    const authorized: Method = (input, context) => {
      const { caller } = context;
      try {
        if (caller.kind === "user") authorizeCall({ path, peer: caller, forwarded: undefined }, rules);
      } catch (error) {
        onDenied(path, context, error);
        throw error;
      }
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
