import { BerthError, type ErrorCode } from "@berth/proto";

/** What a failure means for whoever asked: whether to wait, to give up, or to look again. */
export type EngineErrorKind =
  /** The daemon does not answer, or went away in the middle: the outcome is not known. */
  | "unavailable"
  | "not-found"
  | "no-such-image"
  | "no-such-network"
  | "name-taken"
  | "conflict"
  | "port-taken"
  /** Docker will never run this: it would say the same tomorrow. */
  | "invalid"
  /** Something in the daemon went wrong; it may go well the next time. */
  | "failed"
  /** Daemon and agent have no version of the API in common. */
  | "api-version";

const CODES: Partial<Record<EngineErrorKind, ErrorCode>> = {
  unavailable: "BERTH_ENGINE_UNAVAILABLE",
  "api-version": "BERTH_ENGINE_API_VERSION",
};

/** A request to the Docker daemon failed. The message is in Docker's own words where Docker said anything. */
export class EngineError extends BerthError {
  readonly kind: EngineErrorKind;

  constructor(kind: EngineErrorKind, message: string, cause?: unknown) {
    super({ code: CODES[kind] ?? "BERTH_ENGINE_FAILED", message, cause });
    this.kind = kind;
  }
}

/** True for an EngineError, of the given kind if there is one. */
export function isEngineError(error: unknown, kind?: EngineErrorKind): error is EngineError {
  return error instanceof EngineError && (kind === undefined || error.kind === kind);
}
