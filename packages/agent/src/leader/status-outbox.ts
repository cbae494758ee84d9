import { ReportedTask, type TaskStatuses } from "@berth/proto";

/**
 * Maximum number of statuses in one message. The limits are below those of the leader (`message-limits.ts`) and of
 * gRPC.
 */
const MAX_BATCH = 500;
/** Maximum size of the statuses in one message. */
const MAX_BATCH_BYTES = 1024 * 1024;

interface Entry {
  readonly report: ReportedTask;
  /** The batch in which the status was last sent, or 0 if it is unsent. */
  batch: number;
  isAcknowledged: boolean;
}

/**
 * Keeps the latest status of each task for the leader, and tracks which of them the leader has acknowledged. Its size is
 * bounded by the number of tasks: a newer status replaces an older one, sent or not.
 */
export class StatusOutbox {
  readonly #entries = new Map<string, Entry>();
  readonly #unsent = new Set<string>();
  #lastBatch = 0;

  get hasUnsent(): boolean {
    return this.#unsent.size > 0;
  }

  put(report: ReportedTask): void {
    this.#entries.set(report.taskId, { report, batch: 0, isAcknowledged: false });
    this.#unsent.add(report.taskId);
  }

  forget(taskId: string): void {
    this.#entries.delete(taskId);
    this.#unsent.delete(taskId);
  }

  /** Returns the next batch, or undefined if every status was sent. */
  takeBatch(): TaskStatuses | undefined {
    if (this.#unsent.size === 0) return undefined;
    this.#lastBatch += 1;
    const tasks: ReportedTask[] = [];
    let bytes = 0;
    for (const taskId of this.#unsent) {
      if (tasks.length === MAX_BATCH || bytes >= MAX_BATCH_BYTES) break;
      this.#unsent.delete(taskId);
      const entry = this.#entries.get(taskId);
      if (entry === undefined) continue;
      entry.batch = this.#lastBatch;
      tasks.push(entry.report);
      bytes += ReportedTask.encode(entry.report).finish().length;
    }
    return { batch: this.#lastBatch, tasks };
  }

  /** Records that the leader has stored everything up to this batch. */
  acknowledge(batch: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.batch > 0 && entry.batch <= batch) entry.isAcknowledged = true;
    }
  }

  /** Marks statuses that the leader has not acknowledged as unsent. */
  markUnacknowledgedUnsent(): void {
    for (const [taskId, entry] of this.#entries) if (!entry.isAcknowledged) this.#markUnsent(taskId, entry);
  }

  /** Marks all statuses as unsent, for a leader that may not have any of them. */
  markAllUnsent(): void {
    for (const [taskId, entry] of this.#entries) this.#markUnsent(taskId, entry);
  }

  #markUnsent(taskId: string, entry: Entry): void {
    entry.batch = 0;
    entry.isAcknowledged = false;
    this.#unsent.add(taskId);
  }
}
