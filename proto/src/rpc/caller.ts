import { BerthError } from "../errors.js";
import { describeIdentity, type Identity } from "../identity/identity.js";
import { clientSource } from "./source.js";

/**
 * The program or user that makes a call: an identity that a certificate proves, or anonymous for a host or user that
 * joins the cluster to get its first certificate.
 */
export type Caller = Identity | { readonly kind: "anonymous" };

export const ANONYMOUS: Caller = { kind: "anonymous" };

/**
 * Administrator of a server's host, who calls the server over its Unix socket. No certificate has this name, and only
 * servers forward calls of this user.
 */
export const LOCAL_USER = { kind: "user", name: "root" } as const satisfies Identity;

/** Returns a caller for messages and logs, such as `user "alice"`. */
export function describeCaller(caller: Caller): string {
  return caller.kind === "anonymous" ? "a caller without a certificate" : describeIdentity(caller);
}

/**
 * Returns the key of a caller for limits. Callers without a certificate have one for each source.
 *
 * @param client "address:port"
 */
export function callerKey(caller: Caller, client: string): string {
  return caller.kind === "anonymous" ? `anonymous from ${clientSource(client)}` : describeIdentity(caller);
}

/**
 * Checks that a node speaks for itself only.
 *
 * @throws BerthError BERTH_PERMISSION_DENIED unless the caller is this node
 */
export function requireNode(caller: Caller, nodeId: string): void {
  if (caller.kind === "node" && caller.id === nodeId) return;
  throw new BerthError({
    code: "BERTH_PERMISSION_DENIED",
    message: `${describeCaller(caller)} may not act for node ${JSON.stringify(nodeId.slice(0, 64))}: each node has its own certificate`,
  });
}
