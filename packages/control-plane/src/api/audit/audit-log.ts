import { AuditRecord_Kind as Kind } from "@berth/proto";
import type { Logger } from "pino";
import { type AuditedCall, createAuditRecord } from "../../core/audit/audit-record.js";
import { selectExpired } from "../../core/audit/retention.js";
import type { Writer } from "../../reconciler/writer.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { RefusalQueue } from "./refusal-queue.js";

export interface AuditLogOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly epoch: bigint;
  /** This server's address. */
  readonly address: string;
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/** A record that a decision writes. The record is written once, even if the decision is made several times. */
export interface PendingRecord {
  /** Identifies the record within the epoch. */
  readonly call: number;
  /** The position that the last attempt chose. 0 before the first one. */
  sequence: number;
}

/** A call with the record that it gets. */
interface RecordedCall {
  readonly pending: PendingRecord;
  readonly call: AuditedCall;
}

/** The changes that add records and remove the oldest ones. */
interface RecordChanges {
  readonly put: readonly Change[];
  readonly removals: readonly Change[];
}

/** Adds records to the audit log in etcd, and removes the oldest ones. */
export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #refused: RefusalQueue;
  #calls = 0;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    const { runtime, signal } = options;
    this.#refused = new RefusalQueue({
      clock: runtime.clock,
      write: (calls) => this.#submitRefused(calls),
      signal,
    });
  }

  createPending(): PendingRecord {
    this.#calls += 1;
    return { call: this.#calls, sequence: 0 };
  }

  /**
   * Returns the changes of a decision with the record of its call. The record comes first: if the leader crashes between
   * two transactions of a large decision, the log has the call. The oldest records are removed last.
   */
  withRecord(
    state: ClusterState,
    pending: PendingRecord,
    call: AuditedCall,
    changes: readonly Change[],
  ): readonly Change[] {
    const { put, removals } = this.#recordChanges(state, [{ pending, call }], call.kind);
    return [...put, ...changes, ...removals];
  }

  /** Records a refused call, at once or together with others after an interval. Lost if the term ends before. */
  recordRefused(call: AuditedCall): void {
    this.#refused.add(call);
  }

  #recordChanges(state: ClusterState, added: readonly RecordedCall[], kind: Kind): RecordChanges {
    const { runtime, address, epoch } = this.#options;
    const timeMs = runtime.wallClockMs();
    const { lastSequence } = state.audit;
    const missing = added.filter(({ pending }) => !this.#isWritten(state, pending));
    const records = missing.map(({ pending, call }, index) => {
      pending.sequence = lastSequence + 1 + index;
      return createAuditRecord(call, {
        sequence: pending.sequence,
        timeMs,
        server: address,
        epoch: Number(epoch),
        call: pending.call,
      });
    });
    const removals = selectExpired(state.audit, kind, records).map(({ sequence }): Change => {
      return { kind: "delete-audit", sequence };
    });
    return { put: records.map((record) => ({ kind: "put-audit", record })), removals };
  }

  /**
   * Returns whether an earlier attempt has written the record: its outcome was unknown, or it failed after the first of
   * several transactions. The repeated decision can have other changes, but the first record stays.
   */
  #isWritten({ audit }: ClusterState, { call, sequence }: PendingRecord): boolean {
    const record = audit.get(sequence);
    return record?.epoch === Number(this.#options.epoch) && record.call === call;
  }

  async #submitRefused(calls: readonly AuditedCall[]): Promise<void> {
    const { writer, logger, signal } = this.#options;
    const added = calls.map((call) => ({ pending: this.createPending(), call }));
    try {
      await writer.submit((state) => {
        const { put, removals } = this.#recordChanges(state, added, Kind.REFUSED);
        return { changes: [...put, ...removals], result: undefined };
      }, signal);
    } catch (error) {
      if (!signal.aborted) {
        logger.error({ err: error, calls: added.length }, "failed to record refused calls");
      }
    }
  }
}
