import type { AuditRecord, AuditRecord_Kind } from "@berth/proto";
import { auditRecordBytes } from "../core/audit/audit-record.js";
import type { KindUsage } from "../core/audit/retention.js";

const NO_USAGE: KindUsage = { count: 0, bytes: 0 };

/** All records of the audit log, in order. Records are added at the end and removed near the start. */
export class AuditTable {
  readonly #records: AuditRecord[] = [];
  readonly #usage = new Map<AuditRecord_Kind, KindUsage>();

  get size(): number {
    return this.#records.length;
  }

  get last(): AuditRecord | undefined {
    return this.#records.at(-1);
  }

  get lastSequence(): number {
    return this.last?.sequence ?? 0;
  }

  get(sequence: number): AuditRecord | undefined {
    const record = this.#records[this.#indexOf(sequence)];
    return record?.sequence === sequence ? record : undefined;
  }

  /** Returns up to `limit` records with higher sequence numbers, oldest first. */
  after(sequence: number, limit = Number.POSITIVE_INFINITY): readonly AuditRecord[] {
    const start = this.#indexOf(sequence + 1);
    return this.#records.slice(start, start + limit);
  }

  usageOf(kind: AuditRecord_Kind): KindUsage {
    return this.#usage.get(kind) ?? NO_USAGE;
  }

  /** Returns the records of one kind, oldest first. */
  *ofKind(kind: AuditRecord_Kind): Generator<AuditRecord> {
    for (const record of this.#records) {
      if (record.kind === kind) yield record;
    }
  }

  put(record: AuditRecord): void {
    this.delete(record.sequence);
    this.#records.splice(this.#indexOf(record.sequence), 0, record);
    this.#addUsage(record, 1);
  }

  delete(sequence: number): void {
    const record = this.get(sequence);
    if (record === undefined) return;
    this.#records.splice(this.#indexOf(sequence), 1);
    this.#addUsage(record, -1);
  }

  #addUsage(record: AuditRecord, sign: 1 | -1): void {
    const { count, bytes } = this.usageOf(record.kind);
    this.#usage.set(record.kind, {
      count: count + sign,
      bytes: bytes + sign * auditRecordBytes(record),
    });
  }

  /** Returns the index of the first record with at least this sequence number. */
  #indexOf(sequence: number): number {
    let low = 0;
    let high = this.#records.length;
    if (sequence > this.lastSequence) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#records[middle]?.sequence ?? 0) < sequence) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
