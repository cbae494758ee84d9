import { BerthError } from "@berth/proto";
import {
  EtcdError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCAlreadyExistsError,
  GRPCDataLossError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
} from "etcd3";

/** etcd answered, and the answer was no. Any other error leaves open whether the request arrived. */
const REFUSALS = [
  EtcdError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCAlreadyExistsError,
  GRPCDataLossError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCUnauthenticatedError,
];

/** What etcd3 threw as berth's error. Unknown errors count as "no answer": the safe reading for a write. */
export function toBerthError(error: unknown, endpoint: string): BerthError {
  const text = error instanceof Error ? error.message : String(error);
  const details = { endpoint };
  if (error instanceof GRPCResourceExhastedError) {
    const message = `etcd at ${endpoint} has no room: ${text}. Raise its quota or compact, defragment and disarm its alarm.`;
    return new BerthError({ code: "BERTH_STORE_LIMIT", message, cause: error, details });
  }
  if (REFUSALS.some((refusal) => error instanceof refusal)) {
    const message = `etcd at ${endpoint} refused a request: ${text}.`;
    return new BerthError({ code: "BERTH_ETCD_FAILED", message, cause: error, details });
  }
  const message = `etcd at ${endpoint} does not answer: ${text}. Check that it runs and can be reached.`;
  return new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message, cause: error, details });
}

/** The revision that was asked for is no longer kept. */
export function isCompacted(error: unknown): boolean {
  return causeOf(error) instanceof GRPCOutOfRangeError && /has been compacted/.test(String(causeOf(error)));
}

/** The lease expired or was revoked. */
export function isLeaseGone(error: unknown): boolean {
  return causeOf(error) instanceof EtcdLeaseInvalidError;
}

function causeOf(error: unknown): unknown {
  return error instanceof BerthError ? error.cause : error;
}
