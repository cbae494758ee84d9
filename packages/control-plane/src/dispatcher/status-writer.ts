import { isBerthError, type Task, TaskState, type TaskStatuses } from "@berth/proto";
import type { Logger } from "pino";
import { MAX_CHANGES } from "../reconciler/transaction.js";
import type { Writer } from "../reconciler/writer.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import { type Report, reportedChanges } from "./reported-changes.js";

/** Reports of a busy moment share transactions; a single one after a pause is written at once. */
const WINDOW_MS = 20;

/** Before reports that could not be written are tried again. */
const RETRY_MS = 500;

export interface StatusWriterOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Takes what agents report and acknowledges it when it is in the store. Of several reports of one task the latest counts. */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #pending = new Map<string, Report>();
  #acks: (() => void)[] = [];
  #isBusy = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /** Calls `ack` once the batch, and every one before it, is in the store. */
  add(nodeId: string, statuses: TaskStatuses, ack: () => void): void {
    for (const task of statuses.tasks) this.#pending.set(task.taskId, { nodeId, task });
    this.#acks.push(ack);
    if (this.#isBusy) return;
    this.#isBusy = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    const { runtime, signal } = this.#options;
    while (this.#acks.length > 0 && !signal.aborted) {
      const startedMs = runtime.clock.nowMs();
      const written = await this.#writePending();
      const restMs = (written ? WINDOW_MS : RETRY_MS) - (runtime.clock.nowMs() - startedMs);
      if (restMs > 0) await sleep(runtime.clock, restMs, signal);
    }
    this.#isBusy = false;
  }

  async #writePending(): Promise<boolean> {
    const reports = [...this.#pending.values()];
    const acks = this.#acks;
    this.#pending = new Map();
    this.#acks = [];
    try {
      await Promise.all(inGroups(reports, MAX_CHANGES).map((group) => this.#write(group)));
      for (const ack of acks) ack();
      return true;
    } catch (error) {
      this.#keepForLater(reports, acks, error);
      return false;
    }
  }

  async #write(reports: readonly Report[]): Promise<void> {
    const { writer, runtime, logger, signal } = this.#options;
    const changes = await writer.submit((state) => {
      const wanted = reportedChanges(reports, state, runtime.now());
      return { changes: wanted, result: wanted };
    }, signal);
    for (const change of changes) if (change.kind === "put-task") logEnd(change.task, logger);
  }

  #keepForLater(reports: readonly Report[], acks: readonly (() => void)[], error: unknown): void {
    const { signal, logger } = this.#options;
    if (signal.aborted) return;
    logger[isBerthError(error) ? "warn" : "error"]({ err: error }, "reported statuses could not be written");
    const later = this.#pending;
    this.#pending = new Map(reports.map((report) => [report.task.taskId, report]));
    for (const [taskId, report] of later) this.#pending.set(taskId, report);
    this.#acks = [...acks, ...this.#acks];
  }
}

/** A task that ended by itself decides what its service does next, so people should find it in the log. */
function logEnd({ id, serviceName, slot, nodeId, status }: Task, logger: Logger): void {
  if (status === undefined || status.state < TaskState.COMPLETE || status.state === TaskState.SHUTDOWN)
    return;
  const { exitCode, message } = status;
  const what = status.state === TaskState.COMPLETE ? "completed" : "failed";
  logger.info({ nodeId, exitCode, reason: message }, `task ${id} (${serviceName}.${slot}) ${what}`);
}

function inGroups<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  const groups: T[][] = [];
  for (let start = 0; start < items.length; start += size) groups.push(items.slice(start, start + size));
  return groups;
}
