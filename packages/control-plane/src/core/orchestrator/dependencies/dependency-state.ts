import { type Service, type Task, TaskState } from "@berth/proto";
import { type Slot, slotsByNode, slotsByNumber } from "../../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../../model/snapshot.js";
import { isReady, shouldRun, stateOf } from "../../model/task-state.js";
import { currentTest } from "../../model/template.js";
import { convergence } from "../convergence.js";
import { runsOf } from "../jobs/job-history.js";
import { isJob } from "../jobs/job-mode.js";
import { decideRestart } from "../restart.js";

/** How far a service is that others wait for. */
export interface DependencyState {
  /** Every task that it should have has been started. */
  readonly started: boolean;
  /** Every task that it should have runs well. */
  readonly healthy: boolean;
  /** Everything that it should do has been done. */
  readonly completed: boolean;
  /** Why it will not complete by itself; empty when it may. */
  readonly failure: string;
}

export function dependencyState(view: ServiceSnapshot, cluster: ClusterSnapshot): DependencyState {
  return isJob(view.spec) ? jobState(view) : serviceState(view, cluster);
}

function jobState({ service, tasks }: ServiceSnapshot): DependencyState {
  const [run] = runsOf(service);
  const own = tasks.filter((task) => task.jobIteration === run?.iteration);
  const isCurrent = run !== undefined && isRunOf(run.templateVersion, service);
  const completed = isCurrent && run.endedAtMs > 0 && !run.failed;
  return {
    started: completed || own.some(hasStarted),
    healthy: own.some((task) => shouldRun(task) && isReady(task)),
    completed,
    failure: isCurrent && run.failed ? run.message : "",
  };
}

/** A job that runs by the clock has done its work when its last run has, whatever it is to run next time. */
const isRunOf = (templateVersion: number, { cron, templateVersion: wanted }: Service): boolean =>
  cron !== undefined || templateVersion === wanted;

function serviceState(view: ServiceSnapshot, cluster: ClusterSnapshot): DependencyState {
  const { service, spec, tasks } = view;
  const { desired } = convergence(view, cluster);
  const isCurrent = currentTest(service);
  const slots = spec.mode?.$case === "global" ? slotsByNode(tasks) : slotsByNumber(tasks);
  const outcomes = slots.filter(isEmpty).map(({ ended }) =>
    // Back-off is no outcome, so it does not matter when this is asked.
    decideRestart({ ended, policy: spec.task?.restart, isCurrent, now: 0 }),
  );
  const done = outcomes.filter(({ kind }) => kind === "completed").length;
  const wanted = tasks.filter(shouldRun);
  return {
    started: slotCount(wanted.filter(isUp)) + done >= desired,
    healthy: slotCount(wanted.filter(isReady)) >= desired,
    completed: done >= desired,
    failure: outcomes.flatMap((one) => (one.kind === "given-up" ? [one.why] : []))[0] ?? "",
  };
}

const isEmpty = ({ active, pending, ended }: Slot): boolean =>
  active.length === 0 && pending.length === 0 && ended.length > 0;

/** While a slot is updated start-first it has two tasks, and counts once. */
const slotCount = (tasks: readonly Task[]): number =>
  new Set(tasks.map(({ slot, nodeId }) => (slot === 0 ? nodeId : slot))).size;

const isUp = (task: Task): boolean =>
  stateOf(task) === TaskState.STARTING || stateOf(task) === TaskState.RUNNING;

const hasStarted = (task: Task): boolean => isUp(task) || stateOf(task) === TaskState.COMPLETE;
