import { type ReportedTask, TaskState, type TaskStatus } from "@berth/proto";
import type { Logger } from "pino";
import type { Reconciled } from "../core/tasks/reconcile.js";
import { isSameStatus } from "../core/tasks/status.js";
import type { Step, StepOutcome } from "../core/tasks/step.js";
import type { TaskRecord } from "./task-record.js";

export interface StatusReporterOptions {
  readonly log: Logger;
  /** Called when a task's status changes, and when nothing of the task remains on this node. */
  readonly onReport: (report: ReportedTask) => void;
}

const STATE_NAMES = new Map(Object.entries(TaskState).map(([name, state]) => [state, name.toLowerCase()]));

/** Reports status changes to the leader and logs them. */
export class StatusReporter {
  readonly #options: StatusReporterOptions;

  constructor(options: StatusReporterOptions) {
    this.#options = options;
  }

  /** Stores the new status and reports it unless the leader already knows it. */
  report(record: TaskRecord, { status, isGone = false }: Reconciled): void {
    const { taskId, assignment, lastReport: reported } = record;
    if (status !== undefined && !isSameStatus(record.status, status)) this.#logStatus(record, status);
    record.status = status;
    if (assignment === undefined) return;
    const isKnown = isSameStatus(reported?.status, status) && isGone === (reported?.removed ?? false);
    if (isKnown) return;
    record.lastReport = { taskId, serviceId: assignment.task.serviceId, status, removed: isGone };
    this.#options.onReport(record.lastReport);
  }

  /** Logs a failed step. The task's state shows a successful one. */
  logOutcome(taskId: string, step: Step, outcome: StepOutcome): void {
    if (outcome.kind !== "failed" && outcome.kind !== "rejected") return;
    this.#options.log.warn({ task: taskId, step: step.kind, reason: outcome.reason }, `step ${outcome.kind}`);
  }

  #logStatus({ taskId, assignment, status }: TaskRecord, next: TaskStatus): void {
    // The message alone may change every second, for example with the output of a healthcheck.
    if (status?.state === next.state && status.health === next.health) return;
    const { serviceName } = assignment?.task ?? {};
    const state = STATE_NAMES.get(next.state);
    this.#options.log.info({ task: taskId, service: serviceName, reason: next.message }, `task ${state}`);
  }
}
