import { BerthError, ERROR_CODES, type ErrorCode, isAbortError, isBerthError } from "../errors.js";

/** HTTP status by gRPC status, as in google/rpc/code.proto, except that a failed precondition is a conflict. */
const HTTP_STATUS: Readonly<Record<number, number>> = {
  1: 499,
  3: 400,
  4: 504,
  5: 404,
  7: 403,
  8: 429,
  9: 409,
  10: 409,
  12: 501,
  13: 500,
  14: 503,
  16: 401,
};

export function httpStatusOf(code: ErrorCode): number {
  return HTTP_STATUS[ERROR_CODES[code].grpcStatus] ?? 500;
}

/** The body of a failed request. */
export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly details: Readonly<Record<string, string>>;
  };
}

/** Returns the body for an error. Any error that is not a BerthError is a bug. */
export function errorBody(error: unknown): ErrorBody {
  const { code, message, details } = asBerthError(error);
  return { error: { code, message, details } };
}

export function asBerthError(error: unknown): BerthError {
  if (isBerthError(error)) return error;
  if (isAbortError(error)) return new BerthError({ code: "BERTH_CANCELLED", message: "call canceled" });
  const text = error instanceof Error ? error.message : String(error);
  return new BerthError({ code: "BERTH_INTERNAL", message: `internal error: ${text}`, cause: error });
}

/** Returns an error for a request that violates the rules of the HTTP API. */
export function invalidRequest(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
