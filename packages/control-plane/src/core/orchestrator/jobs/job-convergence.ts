import { type JobStatus, type Task, TaskState } from "@berth/proto";
import type { Slot } from "../../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../../model/snapshot.js";
import { isPending, isReady, shouldRun, stateOf } from "../../model/task-state.js";
import { pendingReason } from "../../scheduler/pending-reason.js";
import { requirementsOf } from "../../scheduler/requirements.js";
import { occupiesNode } from "../../scheduler/resource-request.js";
import type { Convergence } from "../convergence.js";
import { type Problem, problemLines } from "../problems.js";
import { lastWords } from "../slot-state.js";
import { isRunActive, runsOf } from "./job-history.js";
import { maxConcurrent } from "./job-mode.js";
import { jobSlots } from "./job-slots.js";

/**
 * How far a job is. One with a schedule is as it should be whatever its runs do, since it goes on with the next one;
 * any other when the run for what it is now has completed.
 */
export function jobConvergence(view: ServiceSnapshot, cluster: ClusterSnapshot): Convergence {
  const running = view.tasks.filter((task) => shouldRun(task) && isReady(task)).length;
  const runs = runsOf(view.service).filter(isRunActive);
  const open = runs.map((run) => openSlots(run, view, cluster));
  const desired = open.reduce((sum, { count }) => sum + Math.min(maxConcurrent(view.spec), count), 0);
  const reasons = view.spec.cron === undefined ? reasonsOf(view, open) : [];
  return { desired, running, converged: reasons.length === 0, reasons };
}

/** The slots of a run that have not completed, and how many it has in all. */
interface OpenSlots {
  readonly slots: readonly Slot[];
  /** Of those above and those that were not begun yet. */
  readonly count: number;
  readonly total: number;
}

function openSlots(run: JobStatus, { spec, tasks }: ServiceSnapshot, cluster: ClusterSnapshot): OpenSlots {
  const own = tasks.filter((task) => task.jobIteration === run.iteration);
  const { done, slots, fresh } = jobSlots(run, own, { spec, need: requirementsOf(spec), cluster });
  const open = slots.filter((slot) => !slot.ended.some(isComplete));
  return { slots: open, count: open.length + fresh.length, total: done + slots.length + fresh.length };
}

function reasonsOf({ service, tasks }: ServiceSnapshot, open: readonly OpenSlots[]): readonly string[] {
  const [run] = runsOf(service);
  if (run?.templateVersion !== service.templateVersion) return ["its run has not begun"];
  if (run.failed) return [run.message];
  if (isRunActive(run)) return [...waitingReasons(tasks), ...open.flatMap(runReasons)];
  const isLeft = tasks.some((task) => occupiesNode(task) && !shouldRun(task));
  return isLeft ? ["a task of a former run has not stopped yet"] : [];
}

/** What tasks without a node wait for, each reason once. */
function waitingReasons(tasks: readonly Task[]): readonly string[] {
  const waiting = tasks.filter((task) => isPending(task) && shouldRun(task));
  return [...new Set(waiting.map(pendingReason))];
}

function runReasons({ slots, count, total }: OpenSlots): readonly string[] {
  const failed = slots.flatMap((slot): Problem[] =>
    slot.active.length === 0 && slot.ended.length > 0 ? [{ why: lastWords(slot), slot }] : [],
  );
  return [...problemLines(failed), `${total - count} of ${total} tasks have completed`];
}

const isComplete = (task: Task): boolean => stateOf(task) === TaskState.COMPLETE;
