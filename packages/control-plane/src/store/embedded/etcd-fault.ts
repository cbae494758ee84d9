import { assertNever } from "@berth/proto";

/** The kind of fault that keeps an etcd from running with the files of its data directory. */
export type EtcdFault =
  | "disk-full"
  | "read-only"
  | "disk-error"
  | "no-permission"
  /** The log is shorter than what the other members have seen of it. */
  | "log-truncated"
  /** A file is damaged or missing. */
  | "damaged"
  | "unknown";

/** Ways to recover the data if this server's disk is lost. */
export type RecoveryPath =
  /** No other server has the data. */
  | "none"
  /** The other servers have the data, and this server rejoins automatically without data. */
  | "rejoin"
  /** The other servers have the data, and this server needs a new token to join them. */
  | "join-with-token";

/** Patterns of log lines, in the order in which they are tried. The texts are from etcd 3.4 to 3.6, Go and bbolt. */
const FAULT_PATTERNS: readonly (readonly [EtcdFault, RegExp])[] = [
  ["disk-full", /no space left on device|disk quota exceeded/i],
  ["read-only", /read-only file system/i],
  ["disk-error", /input\/output error/i],
  ["no-permission", /permission denied/i],
  ["log-truncated", /tocommit\(\d+\) is out of range/],
  [
    "damaged",
    // "fatal error: fault" is a mapped page after the end of the database.
    /walpb|\bwal: |crc mismatch|wrong wireType|unexpected EOF|cannot use none as id|failed to (?:open database|recover v3 backend)|fatal error: fault|freepages|invalid database|illegal tag|page \d+ already freed|snap: /i,
  ],
];

/** Determines the fault from the last log lines of etcd. */
export function classifyFault(logLines: string): EtcdFault {
  return FAULT_PATTERNS.find(([, pattern]) => pattern.test(logLines))?.[0] ?? "unknown";
}

export interface FaultContext {
  /** The data directory of the server. */
  readonly dataDir: string;
  readonly logLines: string;
  readonly copies: RecoveryPath;
}

/** Explains the fault and its remedy, for the log, /healthz and callers. */
export function explainFault({ dataDir, logLines, copies }: FaultContext): string {
  const fault = classifyFault(logLines);
  switch (fault) {
    case "disk-full":
      return `the disk of ${dataDir} is full; free some space; etcd then continues automatically (${logLines})`;
    case "read-only":
      return `the file system of ${dataDir} is read-only; look for disk errors in the kernel log, and mount it writable again; etcd then continues by itself (${logLines})`;
    case "disk-error":
      return `the disk of ${dataDir} has errors; look at the kernel log. ${replaceData(dataDir, copies)} (${logLines})`;
    case "no-permission":
      return `etcd has no permission for files in ${dataDir}; change their owner to the user who runs berth server (${logLines})`;
    case "log-truncated":
    case "damaged":
      return `the etcd data in ${dataDir} is damaged, and berth does not change it. ${replaceData(dataDir, copies)} (${logLines})`;
    case "unknown":
      return `etcd cannot run with the data in ${dataDir}: ${logLines}`;
    default:
      return assertNever(fault);
  }
}

function replaceData(dataDir: string, copies: RecoveryPath): string {
  switch (copies) {
    case "none":
      return `No other server has this data; keep a copy of ${dataDir}, and restore a backup (berth backup restore)`;
    case "rejoin":
      return `The other servers have this data; move ${dataDir}/member away and start this server, which copies it from them`;
    case "join-with-token":
      return `The other servers have this data; remove this server on another one with berth server rm, move ${dataDir} away, and run berth server join with a new token`;
    default:
      return assertNever(copies);
  }
}
