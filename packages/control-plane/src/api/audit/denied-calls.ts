import { type AuditSubject, isBerthError, AuditRecord_Kind as Kind } from "@berth/proto";
import { type CallContext, describeCaller, type RefusedRpc } from "@berth/proto/rpc";
import type { AuditedCall } from "../../core/audit/audit-record.js";
import type { AuditLog } from "./audit-log.js";

type Log = Pick<AuditLog, "recordRefused">;

/** A call that reached a handler. */
export interface AttemptedCall {
  readonly path: string;
  readonly context: Pick<CallContext, "caller" | "client" | "peer" | "forwarded">;
  readonly subjects?: readonly AuditSubject[];
}

/** Records a failed call if the caller lacks a permission for it. */
export function recordIfDenied(
  audit: Log,
  { path, context, subjects = [] }: AttemptedCall,
  error: unknown,
): void {
  if (isBerthError(error, "BERTH_PERMISSION_DENIED")) {
    audit.recordRefused({
      kind: Kind.REFUSED,
      ...describeCall(path, context),
      subjects,
      summary: "",
      errorCode: error.code,
    });
  }
}

/** Returns the record of a call that was refused before it reached a handler. */
export function refusedRpc({ path, caller, client, errorCode }: RefusedRpc): AuditedCall {
  const call = describeCall(path, { caller, client, peer: client, forwarded: false });
  return { kind: Kind.REFUSED, ...call, subjects: [], summary: "", errorCode };
}

/** Returns the parts of a record that identify the caller and the method. */
export function describeCall(
  path: string,
  { caller, client, peer, forwarded }: AttemptedCall["context"],
): Pick<AuditedCall, "method" | "caller" | "client" | "forwardedBy" | "count"> {
  return {
    method: path.slice(path.lastIndexOf("/") + 1),
    caller: caller.kind === "anonymous" ? "" : describeCaller(caller),
    client,
    forwardedBy: forwarded ? peer : "",
    count: 1,
  };
}
