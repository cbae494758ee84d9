import { type AuditRecord, AuditRecord_Kind as Kind } from "@berth/proto";
import { auditRecordBytes } from "./audit-record.js";

export interface AuditLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/**
 * Limits of each kind of record. The limits are separate, so that neither refused calls nor scripts that run commands
 * displace the records of changes. A new leader loads all records in about 60 ms.
 */
export const AUDIT_LIMITS: Readonly<Record<Kind, AuditLimits>> = {
  [Kind.UNSPECIFIED]: { maxRecords: 0, maxBytes: 0 },
  [Kind.CHANGE]: { maxRecords: 5_000, maxBytes: 5 * 1024 * 1024 },
  [Kind.ACCESS]: { maxRecords: 1_000, maxBytes: 1024 * 1024 },
  [Kind.REFUSED]: { maxRecords: 500, maxBytes: 512 * 1024 },
};

/** Number of records that a removal frees below the limit, so that removals are rare. */
const FREE_RECORDS = 32;

/** Number of bytes that a removal frees below the limit. */
const FREE_BYTES = 32 * 1024;

/**
 * Maximum number of removals in one decision, which must fit into one transaction with the changes of a typical call.
 */
const MAX_REMOVED = 64;

/** The records of one kind. */
export interface KindUsage {
  readonly count: number;
  readonly bytes: number;
}

export interface AuditRecords {
  usageOf(kind: Kind): KindUsage;
  /** Returns the records of one kind, oldest first. */
  ofKind(kind: Kind): Iterable<AuditRecord>;
}

/**
 * Returns the records to remove when records of one kind are added: the oldest ones of the callers with the most
 * records. Thus neither a caller whose calls are refused nor hosts that join with a stolen token displace the records of
 * others.
 */
export function selectExpired(
  records: AuditRecords,
  kind: Kind,
  added: readonly AuditRecord[],
): readonly AuditRecord[] {
  const { maxRecords, maxBytes } = AUDIT_LIMITS[kind];
  const usage = records.usageOf(kind);
  let count = usage.count + added.length;
  let bytes = added.reduce((sum, record) => sum + auditRecordBytes(record), usage.bytes);
  if (count <= maxRecords && bytes <= maxBytes) return [];
  const expired: AuditRecord[] = [];
  for (const record of inOrderOfShare(records.ofKind(kind))) {
    const isFree = count <= maxRecords - FREE_RECORDS && bytes <= maxBytes - FREE_BYTES;
    if (isFree || expired.length >= MAX_REMOVED) break;
    expired.push(record);
    count -= 1;
    bytes -= auditRecordBytes(record);
  }
  return expired;
}

/** Repeatedly yields the oldest record of the caller with the most records. Among equals, the oldest comes first. */
function* inOrderOfShare(records: Iterable<AuditRecord>): Generator<AuditRecord> {
  const byCaller = new Map<string, AuditRecord[]>();
  for (const record of records) {
    const callerRecords = byCaller.get(record.caller);
    if (callerRecords === undefined) {
      byCaller.set(record.caller, [record]);
    } else {
      callerRecords.push(record);
    }
  }
  const groups = [...byCaller.values()];
  for (;;) {
    const largest = groups.reduce<AuditRecord[]>((a, b) => (b.length > a.length ? b : a), []);
    const oldest = largest.shift();
    if (oldest === undefined) return;
    yield oldest;
  }
}
