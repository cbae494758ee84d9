import { BerthError, type ErrorCode } from "@berth/proto";

/** The kind of a failure. It decides whether the caller waits, gives up or retries. */
export type EngineErrorKind =
  /** The daemon does not respond, or the connection broke: the outcome is unknown. */
  | "unavailable"
  | "not-found"
  | "no-such-image"
  | "no-such-network"
  | "name-taken"
  | "conflict"
  | "port-taken"
  /** Docker's firewall rules for published ports are gone. Docker restores them when it starts. */
  | "firewall"
  /** Docker rejects the request, and would reject it again. */
  | "invalid"
  /** An error inside the daemon. A retry may succeed. */
  | "failed"
  /** The daemon and the agent support no common API version. */
  | "api-version";

const ERROR_CODES: Partial<Record<EngineErrorKind, ErrorCode>> = {
  unavailable: "BERTH_ENGINE_UNAVAILABLE",
  "api-version": "BERTH_ENGINE_API_VERSION",
};

/** A failed request to the Docker daemon, with Docker's message if it sent one. */
export class EngineError extends BerthError {
  readonly kind: EngineErrorKind;

  constructor(kind: EngineErrorKind, message: string, cause?: unknown) {
    super({ code: ERROR_CODES[kind] ?? "BERTH_ENGINE_FAILED", message, cause });
    this.kind = kind;
  }
}

/** Returns true for an EngineError, optionally of the given kind. */
export function isEngineError(error: unknown, kind?: EngineErrorKind): error is EngineError {
  return error instanceof EngineError && (kind === undefined || error.kind === kind);
}
