import { type JobStatus, type Task, TaskState } from "@berth/proto";
import type { Slot } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { endText, isPending, shouldRun, stateOf } from "../model/task-state.js";
import { pendingReason } from "../scheduler/pending-reason.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { isRunActive, jobRuns, maxConcurrent } from "./job-schedule.js";
import { jobSlots } from "./job-slots.js";
import { type Problem, problemLines } from "./problems.js";

/** The progress of a job toward its desired state. */
export interface JobConvergence {
  /** Number of tasks that should run. */
  readonly desired: number;
  /** Reasons why the job has not converged, for users. Empty if and only if it has converged. */
  readonly reasons: readonly string[];
}

/**
 * Computes the progress of a job toward its desired state.
 *
 * A job without a schedule has converged when the run of its current template has completed. A scheduled job has always
 * converged, because the result of a run does not affect the next one.
 */
export function jobConvergence(snapshot: ServiceSnapshot, cluster: ClusterSnapshot): JobConvergence {
  const runs = jobRuns(snapshot.service).filter(isRunActive);
  const open = runs.map((run) => openSlots(run, snapshot, cluster));
  const desired = open.reduce((sum, { count }) => sum + Math.min(maxConcurrent(snapshot.spec), count), 0);
  const reasons = snapshot.spec.cron === undefined ? jobReasons(snapshot, open) : [];
  return { desired, reasons };
}

/** The slots of a run that have not completed. */
interface OpenSlots {
  /** Slots that have tasks. */
  readonly slots: readonly Slot[];
  /** Number of open slots, including slots without tasks. */
  readonly count: number;
  /** Number of slots in the run, including completed slots. */
  readonly total: number;
}

function openSlots(run: JobStatus, { spec, tasks }: ServiceSnapshot, cluster: ClusterSnapshot): OpenSlots {
  const runTasks = tasks.filter((task) => task.jobIteration === run.iteration);
  const { completedCount, slots, missing } = jobSlots(run, runTasks, { spec, cluster });
  const open = slots.filter((slot) => !slot.ended.some((task) => stateOf(task) === TaskState.COMPLETE));
  const total = completedCount + slots.length + missing.length;
  return { slots: open, count: open.length + missing.length, total };
}

function jobReasons({ service, tasks }: ServiceSnapshot, open: readonly OpenSlots[]): readonly string[] {
  const [run] = jobRuns(service);
  if (run?.templateVersion !== service.templateVersion) return ["its run has not begun"];
  if (run.failed) return [run.message];
  if (isRunActive(run)) return [...pendingReasons(tasks), ...open.flatMap(runReasons)];
  const hasStopping = tasks.some((task) => occupiesNode(task) && !shouldRun(task));
  return hasStopping ? ["a task of a previous run has not stopped yet"] : [];
}

function pendingReasons(tasks: readonly Task[]): readonly string[] {
  const pending = tasks.filter((task) => isPending(task) && shouldRun(task));
  return [...new Set(pending.map(pendingReason))];
}

function runReasons({ slots, count, total }: OpenSlots): readonly string[] {
  const failed = slots.flatMap((slot): Problem[] =>
    slot.active.length === 0 && slot.ended.length > 0 ? [{ reason: endText(slot.ended[0]), slot }] : [],
  );
  return [...problemLines(failed), `${total - count} of ${total} tasks have completed`];
}
