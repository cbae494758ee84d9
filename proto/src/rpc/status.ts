import { Metadata, type ServiceError, type StatusObject, status } from "@grpc/grpc-js";
import {
  BerthError,
  ERROR_CODES,
  type ErrorCode,
  isAbortError,
  isBerthError,
  isErrorCode,
} from "../errors.js";

const CODE_KEY = "berth-code";
const DETAILS_KEY = "berth-details-bin";
const MESSAGE_KEY = "berth-message-bin";

/**
 * Maximum length of a message or of the details. gRPC sends both as HTTP/2 headers, of which peers accept 16 KiB in
 * total.
 */
const MAX_MESSAGE_CHARS = 6_000;

/** Returns the gRPC status for an error that a handler threw. */
export function toStatus(error: unknown): Pick<StatusObject, "code" | "details" | "metadata"> {
  const failure = isBerthError(error) ? error : toBerthError(error);
  const message = truncate(failure.message);
  const metadata = new Metadata();
  metadata.set(CODE_KEY, failure.code);
  // The status text is limited to ASCII, so the message is also sent as bytes.
  metadata.set(MESSAGE_KEY, Buffer.from(message));
  if (Object.keys(failure.details).length > 0) {
    metadata.set(DETAILS_KEY, Buffer.from(truncate(JSON.stringify(failure.details))));
  }
  return { code: ERROR_CODES[failure.code].grpcStatus, details: message, metadata };
}

/** Returns the BerthError of a failed call. `address` is the server that was called. */
export function fromServiceError(error: unknown, address: string): Error {
  if (!isServiceError(error)) return error instanceof Error ? error : new Error(String(error));
  const code = String(error.metadata.get(CODE_KEY)[0] ?? "");
  if (isErrorCode(code)) {
    return new BerthError({
      code,
      message: remoteMessage(error),
      details: remoteDetails(error),
      cause: error,
    });
  }
  return new BerthError({ ...describeServiceError(error, address), cause: error });
}

/** Describes an error that grpc-js or another program reported. */
function describeServiceError(error: ServiceError, address: string): { code: ErrorCode; message: string } {
  switch (error.code) {
    case status.UNAVAILABLE:
      return describeUnavailable(findSystemError(error.details), address);
    case status.DEADLINE_EXCEEDED:
      return { code: "BERTH_DEADLINE", message: `berth server at ${address} did not respond in time` };
    case status.CANCELLED:
      return { code: "BERTH_CANCELLED", message: `call to the berth server at ${address} canceled` };
    case status.RESOURCE_EXHAUSTED:
      return {
        code: "BERTH_LIMIT_EXCEEDED",
        message: `call to the berth server at ${address} rejected: ${error.details}; send or request less at a time`,
      };
    case status.UNIMPLEMENTED:
      return {
        code: "BERTH_PROTOCOL",
        message: `${address} does not support this call; check that it is a berth server of the same version`,
      };
    default:
      return {
        code: "BERTH_INTERNAL",
        message: `call to the berth server at ${address} failed: ${error.details}`,
      };
  }
}

/**
 * Describes a connection that could not be opened. All of OpenSSL's errors about a server's certificate contain the
 * word "certificate".
 */
function describeUnavailable(reason: string, address: string): { code: ErrorCode; message: string } {
  if (/certificate/.test(reason)) {
    const clock = new Date().toISOString();
    return {
      code: "BERTH_CERTIFICATE_INVALID",
      message: `cannot verify the berth server at ${address}: ${reason} (this host's clock says ${clock}); check that it is a server of this cluster`,
    };
  }
  return {
    code: "BERTH_SERVER_UNREACHABLE",
    message: `cannot connect to the berth server at ${address}: ${reason}; check that it is running and that the address is correct`,
  };
}

/** Extracts the system's error from grpc-js's text about a failed connection. */
function findSystemError(details: string): string {
  return /Last error: (?:Error: )?(.*?)\.? Resolution note:/.exec(details)?.[1] ?? details;
}

/** Converts an error that is not a BerthError: an aborted call, or a bug. */
function toBerthError(error: unknown): BerthError {
  if (isAbortError(error)) return new BerthError({ code: "BERTH_CANCELLED", message: "call canceled" });
  const text = error instanceof Error ? error.message : String(error);
  return new BerthError({ code: "BERTH_INTERNAL", message: `internal error: ${text}`, cause: error });
}

function isServiceError(error: unknown): error is ServiceError {
  return (
    error instanceof Error && "code" in error && "metadata" in error && error.metadata instanceof Metadata
  );
}

function remoteMessage(error: ServiceError): string {
  const bytes = error.metadata.get(MESSAGE_KEY)[0];
  return Buffer.isBuffer(bytes) ? bytes.toString("utf8") : error.details;
}

function remoteDetails(error: ServiceError): Record<string, string> {
  const bytes = error.metadata.get(DETAILS_KEY)[0];
  if (!Buffer.isBuffer(bytes)) return {};
  try {
    const parsed: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof parsed !== "object" || parsed === null) return {};
    return Object.fromEntries(Object.entries(parsed).map(([key, value]) => [key, String(value)]));
  } catch {
    return {}; // The details were truncated. The message is complete enough without them.
  }
}

function truncate(text: string): string {
  return text.length <= MAX_MESSAGE_CHARS ? text : `${text.slice(0, MAX_MESSAGE_CHARS)}…`;
}
