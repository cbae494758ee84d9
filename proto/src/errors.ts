/** gRPC status numbers. They are copied from grpc-js, because `core` imports this file and must not load that library. */
const GRPC_STATUS = {
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
  readonly grpcStatus: number;
  /**
   * Exit code of the command line: 2 for invalid arguments or input files, 3 when the cluster cannot be reached, 1 for any
   * other failure.
   */
  readonly exitCode: 1 | 2 | 3;
}

/** All error codes. Codes are stable for scripts and logs: they are never renamed or reused. */
export const ERROR_CODES = {
  BERTH_INPUT_INVALID: { grpcStatus: GRPC_STATUS.INVALID_ARGUMENT, exitCode: 2 },
  BERTH_COMPOSE_INVALID: { grpcStatus: GRPC_STATUS.INVALID_ARGUMENT, exitCode: 2 },
  BERTH_SPEC_INVALID: { grpcStatus: GRPC_STATUS.INVALID_ARGUMENT, exitCode: 2 },
  BERTH_POLICY_DENIED: { grpcStatus: GRPC_STATUS.PERMISSION_DENIED, exitCode: 1 },
  BERTH_NOT_FOUND: { grpcStatus: GRPC_STATUS.NOT_FOUND, exitCode: 1 },
  BERTH_AMBIGUOUS: { grpcStatus: GRPC_STATUS.INVALID_ARGUMENT, exitCode: 1 },
  BERTH_CONFLICT: { grpcStatus: GRPC_STATUS.ABORTED, exitCode: 1 },
  BERTH_PORT_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_NODE_UNREACHABLE: { grpcStatus: GRPC_STATUS.UNAVAILABLE, exitCode: 1 },
  BERTH_NETWORK_OVERLAP: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_NETWORK_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_FILE_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_SERVER_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_SERVER_REMOVED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_REGISTRY_LOGIN_MISSING: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_REGISTRY_LOGIN_REFUSED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_IMAGE_INVALID: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_IMAGE_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_HOST_UNREACHABLE: { grpcStatus: GRPC_STATUS.UNAVAILABLE, exitCode: 1 },
  BERTH_HOST_UNSUITABLE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_HOST_FAILED: { grpcStatus: GRPC_STATUS.INTERNAL, exitCode: 1 },
  BERTH_NODE_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_AUTHORITY_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_NOT_CONVERGED: { grpcStatus: GRPC_STATUS.DEADLINE_EXCEEDED, exitCode: 1 },
  BERTH_TASK_FAILED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_ROLLOUT_PAUSED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_ROLLED_BACK: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_PLAN_CHANGED: { grpcStatus: GRPC_STATUS.ABORTED, exitCode: 1 },
  /** A call took longer than its deadline. */
  BERTH_DEADLINE: { grpcStatus: GRPC_STATUS.DEADLINE_EXCEEDED, exitCode: 1 },
  BERTH_CANCELLED: { grpcStatus: GRPC_STATUS.CANCELLED, exitCode: 1 },
  BERTH_SERVER_UNREACHABLE: { grpcStatus: GRPC_STATUS.UNAVAILABLE, exitCode: 3 },
  BERTH_NO_LEADER: { grpcStatus: GRPC_STATUS.UNAVAILABLE, exitCode: 3 },
  BERTH_NOT_LEADER: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 3 },
  BERTH_STALE_EPOCH: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_ETCD_UNAVAILABLE: { grpcStatus: GRPC_STATUS.UNAVAILABLE, exitCode: 3 },
  BERTH_ETCD_MISSING: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_ETCD_DATA_LOCKED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_ETCD_FAILED: { grpcStatus: GRPC_STATUS.INTERNAL, exitCode: 1 },
  BERTH_DISK_FAILED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_STORE_UNKNOWN_OUTCOME: { grpcStatus: GRPC_STATUS.UNAVAILABLE, exitCode: 1 },
  /** A transaction or value exceeds a limit of etcd. */
  BERTH_STORE_LIMIT: { grpcStatus: GRPC_STATUS.RESOURCE_EXHAUSTED, exitCode: 1 },
  BERTH_ENGINE_UNAVAILABLE: { grpcStatus: GRPC_STATUS.UNAVAILABLE, exitCode: 1 },
  BERTH_ENGINE_API_VERSION: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_ENGINE_FAILED: { grpcStatus: GRPC_STATUS.INTERNAL, exitCode: 1 },
  BERTH_INGRESS_FAILED: { grpcStatus: GRPC_STATUS.INTERNAL, exitCode: 1 },
  BERTH_ADDRESS_IN_USE: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  /** A caller, a request or a connection exceeds a limit of berth. */
  BERTH_LIMIT_EXCEEDED: { grpcStatus: GRPC_STATUS.RESOURCE_EXHAUSTED, exitCode: 1 },
  BERTH_UNAUTHENTICATED: { grpcStatus: GRPC_STATUS.UNAUTHENTICATED, exitCode: 1 },
  BERTH_PERMISSION_DENIED: { grpcStatus: GRPC_STATUS.PERMISSION_DENIED, exitCode: 1 },
  BERTH_CERTIFICATE_INVALID: { grpcStatus: GRPC_STATUS.UNAUTHENTICATED, exitCode: 1 },
  BERTH_IDENTITY_INVALID: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_AUTHORITY_MISMATCH: { grpcStatus: GRPC_STATUS.UNAUTHENTICATED, exitCode: 1 },
  BERTH_NODE_NOT_ACCEPTED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  BERTH_TOKEN_INVALID: { grpcStatus: GRPC_STATUS.INVALID_ARGUMENT, exitCode: 2 },
  BERTH_BACKUP_INVALID: { grpcStatus: GRPC_STATUS.INVALID_ARGUMENT, exitCode: 1 },
  BERTH_RESTORE_PENDING: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  /** A peer sent an unexpected message. */
  BERTH_PROTOCOL: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  /** Two programs have no common protocol version. */
  BERTH_VERSION_UNSUPPORTED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  /** The records in etcd have a version that this release cannot read. */
  BERTH_SCHEMA_UNSUPPORTED: { grpcStatus: GRPC_STATUS.FAILED_PRECONDITION, exitCode: 1 },
  /** A program does not support what was requested. */
  BERTH_UNSUPPORTED: { grpcStatus: GRPC_STATUS.UNIMPLEMENTED, exitCode: 1 },
  BERTH_INTERNAL: { grpcStatus: GRPC_STATUS.INTERNAL, exitCode: 1 },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface BerthErrorOptions {
  readonly code: ErrorCode;
  /** `what failed: why; what to do`, in lower case and without a final full stop. */
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
