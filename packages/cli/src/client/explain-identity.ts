import { access, constants } from "node:fs/promises";
import { BerthError, isBerthError } from "@berth/proto";
import { describeIdentity } from "@berth/proto/identity";
import type { ContextIdentity } from "./context-identity.js";
import { DEFAULT_CONTEXT, type IdentityLocation } from "./contexts.js";
import type { ConnectionTarget } from "./resolve-target.js";

const HOW_TO_START = 'create a context with an invitation ("berth context create --help")';

/** The connection target and identity of a command that failed. */
export interface IdentityContext {
  readonly target: ConnectionTarget;
  /** Identity of the context. Undefined for Unix sockets, and when the identity could not be loaded. */
  readonly identity: ContextIdentity | undefined;
  readonly nowMs: number;
}

/**
 * Returns the error of a command. Adds the context, the certificate, the time of this host's clock and the remedy to an
 * error about the identity.
 */
export async function explainIdentityError(error: unknown, context: IdentityContext): Promise<unknown> {
  if (!isBerthError(error)) return error;
  const { target, identity, nowMs } = context;
  switch (error.code) {
    case "BERTH_SERVER_UNREACHABLE":
      return (await explainSocket(error, target)) ?? error;
    case "BERTH_IDENTITY_INVALID":
      return target.kind === "local" ? error : extendError(error, howToReplace(target.identity));
    case "BERTH_UNAUTHENTICATED":
      if (identity === undefined) return error;
      return extendError(error, `${describeUse(identity, nowMs)}: ${howToReplace(identity.location)}`);
    case "BERTH_CERTIFICATE_INVALID":
      if (identity === undefined) return error;
      return extendError(
        error,
        `${describeUse(identity, nowMs)}, and trusts servers of ${identity.facts.cluster}`,
      );
    case "BERTH_PERMISSION_DENIED":
      if (identity === undefined) return error;
      return extendError(error, `${describeUse(identity, nowMs)}: ${howToGetRole(error, identity.location)}`);
    default:
      return error;
  }
}

/** Returns the error for a certificate that expired too long ago to be renewed. */
export function expiredError(identity: ContextIdentity, nowMs: number): BerthError {
  const { facts, location } = identity;
  return new BerthError({
    code: "BERTH_CERTIFICATE_INVALID",
    message: `certificate of ${describeIdentity(facts.identity)} in context ${quote(location.context)} expired at ${formatTime(facts.notAfterMs)}, too long ago to renew it: this host's clock says ${formatTime(nowMs)}; correct the clock, or ${howToReplace(location)}`,
    details: { reason: "expired" },
  });
}

/** Returns the error for addresses that need an identity, when the current context has none. */
export function missingIdentityError(context: string, server: string): BerthError {
  // The default context is the socket of this host, until a context with this name is saved.
  const name = context === DEFAULT_CONTEXT ? "NAME" : context;
  return new BerthError({
    code: "BERTH_UNAUTHENTICATED",
    message: `cannot connect to ${server} without an identity, and context ${quote(context)} has none: ${howToReplace({ context: name, server })}; on the host of a server, root can use its Unix socket instead`,
  });
}

/** Explains why a Unix socket cannot be opened: missing permission, or no server on this host. */
async function explainSocket(error: BerthError, target: ConnectionTarget): Promise<BerthError | undefined> {
  if (target.kind === "remote") return undefined;
  for (const path of target.sockets) {
    const code = await access(path, constants.W_OK).then(
      () => "",
      (failure: NodeJS.ErrnoException) => failure.code,
    );
    if (code === "ENOENT") return extendError(error, `from another host, ${HOW_TO_START}`);
    if (code !== "EACCES" && code !== "EPERM") continue;
    return new BerthError({
      code: "BERTH_PERMISSION_DENIED",
      message: `cannot connect to the berth server at ${path}: permission denied; run berth as root, or ${HOW_TO_START}`,
    });
  }
  return undefined;
}

function describeUse({ location, facts }: ContextIdentity, nowMs: number): string {
  return `context ${quote(location.context)} has the certificate of ${describeIdentity(facts.identity)}, valid until ${formatTime(facts.notAfterMs)}, and this host's clock says ${formatTime(nowMs)}`;
}

function howToGetRole({ details }: BerthError, location: IdentityLocation): string {
  if (details.reason !== "no-role") return `ask an administrator for another role ("berth user invite")`;
  return `the user was removed; ${howToReplace(location)}`;
}

function howToReplace({ context, server }: Pick<IdentityLocation, "context" | "server">): string {
  return `ask an administrator for an invitation ("berth user invite"), and run "berth context create ${context} --server ${server} --invitation-file -"`;
}

function extendError({ code, message, details }: BerthError, addition: string): BerthError {
  return new BerthError({ code, message: `${message}; ${addition}`, details });
}

const quote = (text: string): string => JSON.stringify(text);

const formatTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
