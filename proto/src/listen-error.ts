import { BerthError, type ErrorCode } from "./errors.js";

/** Reason why a process cannot listen on an address. */
interface ListenFault {
  readonly code: ErrorCode;
  readonly reason: string;
}

/** Faults by the code of the system error. */
const FAULTS: Readonly<Record<string, ListenFault>> = {
  EADDRINUSE: { code: "BERTH_ADDRESS_IN_USE", reason: "another process listens on this port" },
  EADDRNOTAVAIL: { code: "BERTH_INPUT_INVALID", reason: "the address does not belong to this host" },
  EACCES: { code: "BERTH_INPUT_INVALID", reason: "only root may listen on this port" },
  ENOTFOUND: { code: "BERTH_INPUT_INVALID", reason: "the host name does not resolve to an address" },
};

export interface ListenErrorOptions {
  /** "host:port" */
  readonly address: string;
  /** Purpose of the server, such as "metrics". */
  readonly purpose?: string;
  /** Remedy for the user, such as "choose another address with --metrics". */
  readonly advice: string;
  readonly cause: unknown;
}

/** Returns the error of a server that cannot listen on its address. */
export function listenError({ address, purpose, advice, cause }: ListenErrorOptions): BerthError {
  const message = cause instanceof Error ? cause.message : String(cause);
  const { code, reason } = FAULTS[systemCode(cause, message)] ?? { code: "BERTH_INTERNAL", reason: message };
  const subject = purpose === undefined ? address : `${address} for ${purpose}`;
  return new BerthError({
    code,
    message: `cannot listen on ${subject}: ${reason}; ${advice}`,
    cause,
    details: { address },
  });
}

/** Returns the code of the system error. grpc-js has the code only in its message. */
function systemCode(cause: unknown, message: string): string {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code ?? /\bE[A-Z]{3,}\b/.exec(message)?.[0] ?? "";
}
