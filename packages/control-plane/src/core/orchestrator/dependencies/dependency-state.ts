import { type Service, type Task, TaskState } from "@berth/proto";
import { convergence } from "../../converge.js";
import type { ClusterView, ServiceView } from "../../model.js";
import { isWanted, runsWell, stateOf } from "../../task-state.js";
import { runsOf } from "../jobs/job-history.js";
import { isJob } from "../jobs/job-mode.js";
import { currentTest } from "../rollout/template.js";
import { decideRestart } from "../slots/restart.js";
import { type Slot, slotsByNode, slotsByNumber } from "../slots/slots.js";

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

export function dependencyState(view: ServiceView, cluster: ClusterView): DependencyState {
  return isJob(view.spec) ? jobState(view) : serviceState(view, cluster);
}

function jobState({ service, tasks }: ServiceView): DependencyState {
  const [run] = runsOf(service);
  const own = tasks.filter((task) => task.jobIteration === run?.iteration);
  const isCurrent = run !== undefined && isRunOf(run.templateVersion, service);
  const completed = isCurrent && run.endedAtMs > 0 && !run.failed;
  return {
    started: completed || own.some(hasStarted),
    healthy: own.some((task) => isWanted(task) && runsWell(task)),
    completed,
    failure: isCurrent && run.failed ? run.message : "",
  };
}

/** A job that runs by the clock has done its work when its last run has, whatever it is to run next time. */
const isRunOf = (templateVersion: number, { cron, templateVersion: wanted }: Service): boolean =>
  cron !== undefined || templateVersion === wanted;

function serviceState(view: ServiceView, cluster: ClusterView): DependencyState {
  const { service, spec, tasks } = view;
  const { desired } = convergence(view, cluster);
  const isCurrent = currentTest(service);
  const slots = spec.mode?.$case === "global" ? slotsByNode(tasks) : slotsByNumber(tasks);
  const outcomes = slots.filter(isEmpty).map(({ ended }) =>
    // Back-off is no outcome, so it does not matter when this is asked.
    decideRestart({ ended, policy: spec.task?.restart, isCurrent, now: 0 }),
  );
  const done = outcomes.filter(({ kind }) => kind === "completed").length;
  const wanted = tasks.filter(isWanted);
  return {
    started: slotCount(wanted.filter(isUp)) + done >= desired,
    healthy: slotCount(wanted.filter(runsWell)) >= desired,
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
