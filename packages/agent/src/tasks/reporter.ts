import { type ReportedTask, TaskState, type TaskStatus } from "@berth/proto";
import type { Logger } from "pino";
import type { Reconciled } from "../core/tasks/reconcile.js";
import { sameStatus } from "../core/tasks/status.js";
import type { Step } from "../core/tasks/step.js";
import type { StepOutcome } from "../core/tasks/task-memory.js";
import type { TaskRecord } from "./task-record.js";

export interface ReporterOptions {
  readonly log: Logger;
  /** A task's status changed, or its last trace went. */
  readonly onReport: (report: ReportedTask) => void;
}

const STATE_NAMES = new Map(Object.entries(TaskState).map(([name, state]) => [state, name.toLowerCase()]));

/** Tells the leader what it does not know yet, and the log every change with its reason. */
export class Reporter {
  readonly #options: ReporterOptions;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  report(record: TaskRecord, { status, isGone = false }: Reconciled): void {
    const { taskId, assignment, reported } = record;
    if (status !== undefined && !sameStatus(record.status, status)) this.#logStatus(record, status);
    record.status = status;
    if (assignment === undefined) return;
    const isKnown = sameStatus(reported?.status, status) && isGone === (reported?.removed ?? false);
    if (isKnown) return;
    record.reported = { taskId, serviceId: assignment.task.serviceId, status, removed: isGone };
    this.#options.onReport(record.reported);
  }

  /** What went wrong is worth a line; what went well shows in the task's state. */
  logOutcome(taskId: string, step: Step, outcome: StepOutcome): void {
    if (outcome.kind !== "failed" && outcome.kind !== "rejected") return;
    this.#options.log.warn({ task: taskId, step: step.kind, reason: outcome.reason }, `step ${outcome.kind}`);
  }

  #logStatus({ taskId, assignment, status }: TaskRecord, next: TaskStatus): void {
    // A message or a probe's output may change every second; a state does not.
    if (status?.state === next.state && status.health === next.health) return;
    const { serviceName } = assignment?.task ?? {};
    const state = STATE_NAMES.get(next.state);
    this.#options.log.info({ task: taskId, service: serviceName, reason: next.message }, `task ${state}`);
  }
}
