import type { ReportedTask, TaskStatuses } from "@berth/proto";

/** Keeps a message far below any limit of its size. */
const MAX_BATCH = 500;

interface Entry {
  readonly report: ReportedTask;
  /** The batch that it was last sent in; 0: it is still to be sent. */
  batch: number;
  isAcked: boolean;
}

/**
 * The latest status of each task, until the leader has acknowledged it. Bounded by the number of tasks: a newer status
 * takes the place of an older one, sent or not.
 */
export class StatusOutbox {
  readonly #entries = new Map<string, Entry>();
  readonly #unsent = new Set<string>();
  #lastBatch = 0;

  get hasUnsent(): boolean {
    return this.#unsent.size > 0;
  }

  put(report: ReportedTask): void {
    this.#entries.set(report.taskId, { report, batch: 0, isAcked: false });
    this.#unsent.add(report.taskId);
  }

  /** Nobody asks for the task any more. */
  forget(taskId: string): void {
    this.#entries.delete(taskId);
    this.#unsent.delete(taskId);
  }

  /** The next batch; undefined: everything was sent. */
  take(): TaskStatuses | undefined {
    if (this.#unsent.size === 0) return undefined;
    this.#lastBatch += 1;
    const tasks: ReportedTask[] = [];
    for (const taskId of this.#unsent) {
      if (tasks.length === MAX_BATCH) break;
      this.#unsent.delete(taskId);
      const entry = this.#entries.get(taskId);
      if (entry === undefined) continue;
      entry.batch = this.#lastBatch;
      tasks.push(entry.report);
    }
    return { batch: this.#lastBatch, tasks };
  }

  /** The leader has stored everything up to this batch. */
  acknowledge(batch: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.batch > 0 && entry.batch <= batch) entry.isAcked = true;
    }
  }

  /** Sends again what the leader has not acknowledged for long. */
  repeatUnacked(): void {
    for (const [taskId, entry] of this.#entries) if (!entry.isAcked) this.#unsent.add(taskId);
  }

  /** A new leader may know nothing: it is told everything. */
  repeatAll(): void {
    for (const [taskId, entry] of this.#entries) {
      entry.isAcked = false;
      this.#unsent.add(taskId);
    }
  }
}
