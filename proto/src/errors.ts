/** gRPC status numbers. They are copied from grpc-js, because `core` imports this file and must not load that library. */
const status = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** The gRPC status and the exit code of an error code. */
interface ErrorKind {
  /** gRPC status number. */
  readonly grpc: number;
  /** Exit code of the command line: 1 for a failure, 2 for invalid input, 3 when the cluster cannot be reached. */
  readonly exit: 1 | 2 | 3;
}

/** All error codes. Codes are stable for scripts and logs: they are never renamed or reused. */
export const ERROR_CODES = {
  BERTH_INPUT_INVALID: { grpc: status.INVALID_ARGUMENT, exit: 2 },
  BERTH_COMPOSE_INVALID: { grpc: status.INVALID_ARGUMENT, exit: 2 },
  BERTH_SPEC_INVALID: { grpc: status.INVALID_ARGUMENT, exit: 2 },
  BERTH_POLICY_DENIED: { grpc: status.PERMISSION_DENIED, exit: 1 },
  BERTH_NOT_FOUND: { grpc: status.NOT_FOUND, exit: 1 },
  BERTH_AMBIGUOUS: { grpc: status.INVALID_ARGUMENT, exit: 1 },
  BERTH_CONFLICT: { grpc: status.ABORTED, exit: 1 },
  BERTH_PORT_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_NODE_UNREACHABLE: { grpc: status.UNAVAILABLE, exit: 1 },
  BERTH_NETWORK_OVERLAP: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_NETWORK_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_FILE_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_SERVER_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_SERVER_REMOVED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_REGISTRY_LOGIN_MISSING: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_REGISTRY_LOGIN_REFUSED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_IMAGE_INVALID: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_IMAGE_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_HOST_UNREACHABLE: { grpc: status.UNAVAILABLE, exit: 1 },
  BERTH_HOST_UNSUITABLE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_HOST_FAILED: { grpc: status.INTERNAL, exit: 1 },
  BERTH_NODE_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_AUTHORITY_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_NOT_CONVERGED: { grpc: status.DEADLINE_EXCEEDED, exit: 1 },
  BERTH_TASK_FAILED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_ROLLOUT_PAUSED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_ROLLED_BACK: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_PLAN_CHANGED: { grpc: status.ABORTED, exit: 1 },
  BERTH_DEADLINE: { grpc: status.DEADLINE_EXCEEDED, exit: 1 },
  BERTH_CANCELLED: { grpc: status.CANCELLED, exit: 1 },
  BERTH_SERVER_UNREACHABLE: { grpc: status.UNAVAILABLE, exit: 3 },
  BERTH_NO_LEADER: { grpc: status.UNAVAILABLE, exit: 3 },
  BERTH_NOT_LEADER: { grpc: status.FAILED_PRECONDITION, exit: 3 },
  BERTH_STALE_EPOCH: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_ETCD_UNAVAILABLE: { grpc: status.UNAVAILABLE, exit: 3 },
  BERTH_ETCD_MISSING: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_ETCD_DATA_LOCKED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_ETCD_FAILED: { grpc: status.INTERNAL, exit: 1 },
  BERTH_DISK_FAILED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_STORE_UNKNOWN_OUTCOME: { grpc: status.UNAVAILABLE, exit: 1 },
  BERTH_STORE_LIMIT: { grpc: status.RESOURCE_EXHAUSTED, exit: 1 },
  BERTH_ENGINE_UNAVAILABLE: { grpc: status.UNAVAILABLE, exit: 1 },
  BERTH_ENGINE_API_VERSION: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_ENGINE_FAILED: { grpc: status.INTERNAL, exit: 1 },
  BERTH_INGRESS_FAILED: { grpc: status.INTERNAL, exit: 1 },
  BERTH_ADDRESS_IN_USE: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_LIMIT_EXCEEDED: { grpc: status.RESOURCE_EXHAUSTED, exit: 1 },
  BERTH_UNAUTHENTICATED: { grpc: status.UNAUTHENTICATED, exit: 1 },
  BERTH_PERMISSION_DENIED: { grpc: status.PERMISSION_DENIED, exit: 1 },
  BERTH_CERTIFICATE_INVALID: { grpc: status.UNAUTHENTICATED, exit: 1 },
  BERTH_IDENTITY_INVALID: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_AUTHORITY_MISMATCH: { grpc: status.UNAUTHENTICATED, exit: 1 },
  BERTH_NODE_NOT_ACCEPTED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_TOKEN_INVALID: { grpc: status.INVALID_ARGUMENT, exit: 2 },
  BERTH_BACKUP_INVALID: { grpc: status.INVALID_ARGUMENT, exit: 1 },
  BERTH_RESTORE_PENDING: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_PROTOCOL: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_VERSION_UNSUPPORTED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_SCHEMA_UNSUPPORTED: { grpc: status.FAILED_PRECONDITION, exit: 1 },
  BERTH_UNSUPPORTED: { grpc: status.UNIMPLEMENTED, exit: 1 },
  BERTH_INTERNAL: { grpc: status.INTERNAL, exit: 1 },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface BerthErrorOptions {
  readonly code: ErrorCode;
  /** States the failure, the reason and the remedy, separated by colons. Lower case and without a full stop. */
  readonly message: string;
  readonly cause?: unknown;
  /** Short machine-readable values for `-o json` and logs. */
  readonly details?: Readonly<Record<string, string>>;
}

/** The error type at all boundaries of berth: between packages, over gRPC, and on the terminal. */
export class BerthError extends Error {
  override readonly name = "BerthError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, string>>;

  constructor(options: BerthErrorOptions) {
    super(options.message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = options.code;
    this.details = options.details ?? {};
  }
}

/** Returns whether `error` is a BerthError, with the given code if any. */
export function isBerthError(error: unknown, code?: ErrorCode): error is BerthError {
  return error instanceof BerthError && (code === undefined || error.code === code);
}

/** Returns whether an operation ended because its signal aborted. */
export function isAbortError(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

/** Returns whether text is an error code of this release. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}
