import {
  assertNever,
  isBerthError,
  type ReportedTask,
  type Task,
  TaskState,
  type TaskStatuses,
} from "@berth/proto";
import type { Logger } from "pino";
import { applyReport } from "../core/model/task-report.js";
import { MAX_CHANGES } from "../reconciler/transaction.js";
import type { Writer } from "../reconciler/writer.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Minimum time between two writes. Statuses that arrive meanwhile share transactions. */
const MIN_WRITE_INTERVAL_MS = 20;

/** Delay before a failed write is retried. */
const RETRY_MS = 500;

export interface StatusWriterOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** A task's status in the report of one node. */
interface Report {
  readonly nodeId: string;
  readonly task: ReportedTask;
}

/**
 * Writes the task statuses that the dispatcher receives from agents, and acknowledges them once they are in the store.
 *
 * If a task has several unwritten statuses, only the latest is written.
 */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #pending = new Map<string, Report>();
  #acks: (() => void)[] = [];
  #isRunning = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /** Queues a batch of statuses. Calls `ack` when this batch and every earlier batch are in the store. */
  enqueue(nodeId: string, statuses: TaskStatuses, ack: () => void): void {
    for (const task of statuses.tasks) this.#pending.set(task.taskId, { nodeId, task });
    this.#acks.push(ack);
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#writeUntilEmpty();
  }

  async #writeUntilEmpty(): Promise<void> {
    const { runtime, signal } = this.#options;
    while (this.#acks.length > 0 && !signal.aborted) {
      const startedMs = runtime.clock.nowMs();
      const isWritten = await this.#writePending();
      const pauseMs = (isWritten ? MIN_WRITE_INTERVAL_MS : RETRY_MS) - (runtime.clock.nowMs() - startedMs);
      if (pauseMs > 0) await sleep(runtime.clock, pauseMs, signal);
    }
    this.#isRunning = false;
  }

  async #writePending(): Promise<boolean> {
    const reports = [...this.#pending.values()];
    const acks = this.#acks;
    this.#pending = new Map();
    this.#acks = [];
    try {
      await Promise.all(splitIntoChunks(reports, MAX_CHANGES).map((group) => this.#write(group)));
    } catch (error) {
      this.#requeue(reports, acks, error);
      return false;
    }
    for (const ack of acks) ack();
    return true;
  }

  async #write(reports: readonly Report[]): Promise<void> {
    const { writer, runtime, logger, signal } = this.#options;
    const changes = await writer.submit((state) => {
      const now = runtime.wallClockMs();
      const changes = reports.flatMap((report) => reportChanges(report, state, now));
      return { changes, result: changes };
    }, signal);
    for (const change of changes) if (change.kind === "put-task") logTaskEnd(change.task, logger);
  }

  /** Queues reports again after a failed write. A newer report of the same task takes precedence. */
  #requeue(reports: readonly Report[], acks: readonly (() => void)[], error: unknown): void {
    const { signal, logger } = this.#options;
    if (signal.aborted) return;
    logger[isBerthError(error) ? "warn" : "error"]({ err: error }, "failed to write task statuses");
    const newer = this.#pending;
    this.#pending = new Map(reports.map((report) => [report.task.taskId, report]));
    for (const [taskId, report] of newer) this.#pending.set(taskId, report);
    this.#acks = [...acks, ...this.#acks];
  }
}

/** Returns the changes that record a report. Empty when the task is unknown, on another node, or in a later state. */
function reportChanges({ nodeId, task: reported }: Report, state: ClusterState, now: number): Change[] {
  const task = state.tasks.get(reported.taskId);
  if (task === undefined) return [];
  const { status, removed } = reported;
  const result = applyReport(task, { nodeId, status, removed }, now);
  switch (result.kind) {
    case "updated":
      return [{ kind: "put-task", task: result.task }];
    case "deleted":
      return [{ kind: "delete-task", serviceId: task.serviceId, taskId: task.id }];
    case "unchanged":
    case "ignored":
      return [];
    default:
      return assertNever(result);
  }
}

/** Logs the end of a task that has completed or failed without a stop request. */
function logTaskEnd({ id, serviceName, slot, nodeId, status }: Task, logger: Logger): void {
  if (status === undefined || status.state < TaskState.COMPLETE || status.state === TaskState.SHUTDOWN)
    return;
  const { exitCode, message } = status;
  const outcome = status.state === TaskState.COMPLETE ? "completed" : "failed";
  logger.info({ nodeId, exitCode, reason: message }, `task ${id} (${serviceName}.${slot}) ${outcome}`);
}

function splitIntoChunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  const groups: T[][] = [];
  for (let start = 0; start < items.length; start += size) groups.push(items.slice(start, start + size));
  return groups;
}
