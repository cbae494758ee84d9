import {
  assertNever,
  type Dependency,
  Dependency_Condition,
  DesiredState,
  type JobStatus,
  type Service,
  type Task,
  TaskState,
} from "@berth/proto";
import { type Slot, slotsByNode, slotsByNumber, taskSlotKey } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isReady, shouldRun, stateOf } from "../model/task-state.js";
import { currentTest } from "../model/template.js";
import { durationText } from "../model/text.js";
import { WAITING_FOR } from "../scheduler/pending-reason.js";
import { convergence } from "./convergence.js";
import { isJob, jobRuns, NO_TEMPLATE } from "./job-schedule.js";
import { decideRestart } from "./restart.js";

/** Time that a dependency has to become ready when the spec sets none: as long as an update has to progress. */
const DEFAULT_DEADLINE_MS = 5 * 60_000;

/** Whether a service may start its first tasks. */
export type DependencyGate =
  | { readonly kind: "open" }
  | {
      readonly kind: "closed";
      /** For example `waiting for db: healthy`. */
      readonly holdReason: string;
      /** When the deadline of the dependencies passes. */
      readonly dueMs?: number;
    };

/** The state of a service that others depend on. */
export interface DependencyState {
  /** Every task that it should have has been started. */
  readonly started: boolean;
  /** Every task that it should have is ready. */
  readonly healthy: boolean;
  /** All of its work is done. */
  readonly completed: boolean;
  /** Why it will not complete. Empty while it may. */
  readonly failure: string;
}

/** Finds a service by full name. Returns undefined when it does not exist. */
export type DependencyLookup = (service: string) => DependencyState | undefined;

const OPEN: DependencyGate = { kind: "open" };

/**
 * Holds the first tasks of a service back until its dependencies are ready. As in Compose, restarts, moves and updates
 * do not wait. After the deadline the reason says so, and the service still waits. An optional dependency is ignored
 * when it does not exist or its deadline has passed.
 */
export function dependencyGate(
  snapshot: ServiceSnapshot,
  lookup: DependencyLookup,
  now: number,
): DependencyGate {
  const { spec, service } = snapshot;
  if (spec.dependsOn.length === 0 || service.removing || hasStarted(snapshot)) return OPEN;
  const allowedMs = spec.update?.progressDeadlineMs ?? DEFAULT_DEADLINE_MS;
  const deadlineMs =
    allowedMs === 0 ? Number.POSITIVE_INFINITY : waitingSinceMs(snapshot.tasks, now) + allowedMs;
  const overdue = now >= deadlineMs ? durationText(allowedMs) : "";
  const unmet = spec.dependsOn.flatMap((dependency) => unmetReason(dependency, lookup, overdue));
  if (unmet.length === 0) return OPEN;
  const holdReason = `${WAITING_FOR}${unmet.join(", ")}`;
  const isPending = overdue === "" && deadlineMs !== Number.POSITIVE_INFINITY;
  return { kind: "closed", holdReason, ...(isPending ? { dueMs: deadlineMs } : {}) };
}

/**
 * Whether the service was started before: a task has a node, a version was healthy, or a run completed. A run that only
 * began does not count, because it may have waited until the next one replaced it.
 */
function hasStarted(snapshot: ServiceSnapshot): boolean {
  const { service } = snapshot;
  const runs = [...(service.job === undefined ? [] : [service.job]), ...jobRuns(service)];
  if (service.healthyVersion > 0 || runs.some(isCompleted)) return true;
  return snapshot.tasks.some(
    ({ nodeId, desiredState }) => nodeId !== "" && desiredState < DesiredState.REMOVE,
  );
}

const isCompleted = ({ endedAtMs, failed, templateVersion }: JobStatus): boolean =>
  endedAtMs > 0 && !failed && templateVersion !== NO_TEMPLATE;

/** The waiting tasks were created when the waiting began. */
const waitingSinceMs = (tasks: readonly Task[], now: number): number =>
  tasks.reduce((earliest, task) => Math.min(earliest, task.createdAtMs), now);

function unmetReason(
  { service, condition, optional }: Dependency,
  lookup: DependencyLookup,
  overdue: string,
): readonly string[] {
  const state = lookup(service);
  if (state !== undefined && isMet(condition, state)) return [];
  if (optional && (state === undefined || overdue !== "")) return [];
  if (state === undefined) return [`${service}: there is no such service`];
  if (condition === Dependency_Condition.COMPLETED && state.failure !== "") {
    return [`${service}: it failed: ${state.failure}`];
  }
  const goal = conditionText(condition);
  return [overdue === "" ? `${service}: ${goal}` : `${service}: it was not ${goal} within ${overdue}`];
}

function isMet(condition: Dependency_Condition, state: DependencyState): boolean {
  switch (condition) {
    case Dependency_Condition.UNSPECIFIED:
    case Dependency_Condition.STARTED:
      return state.started;
    case Dependency_Condition.HEALTHY:
      return state.healthy;
    case Dependency_Condition.COMPLETED:
      return state.completed;
    default:
      return assertNever(condition);
  }
}

function conditionText(condition: Dependency_Condition): string {
  switch (condition) {
    case Dependency_Condition.UNSPECIFIED:
    case Dependency_Condition.STARTED:
      return "started";
    case Dependency_Condition.HEALTHY:
      return "healthy";
    case Dependency_Condition.COMPLETED:
      return "completed";
    default:
      return assertNever(condition);
  }
}

/** Returns the state of a service for those that depend on it. */
export function dependencyState(
  snapshot: ServiceSnapshot,
  cluster: ClusterSnapshot,
  now: number,
): DependencyState {
  return isJob(snapshot.spec) ? jobState(snapshot) : serviceState(snapshot, cluster, now);
}

function jobState({ service, tasks }: ServiceSnapshot): DependencyState {
  const [run] = jobRuns(service);
  const own = tasks.filter((task) => task.jobIteration === run?.iteration);
  const isCurrent = run !== undefined && isCurrentRun(run, service);
  const completed = isCurrent && run.endedAtMs > 0 && !run.failed;
  return {
    started: completed || own.some((task) => isUp(task) || stateOf(task) === TaskState.COMPLETE),
    healthy: own.some((task) => shouldRun(task) && isReady(task)),
    completed,
    failure: isCurrent && run.failed ? run.message : "",
  };
}

/** The last run of a scheduled job counts, whatever the next one will run. */
const isCurrentRun = (run: JobStatus, { cron, templateVersion }: Service): boolean =>
  cron !== undefined || run.templateVersion === templateVersion;

function serviceState(snapshot: ServiceSnapshot, cluster: ClusterSnapshot, now: number): DependencyState {
  const { service, spec, tasks } = snapshot;
  const { desired } = convergence(snapshot, cluster, now);
  const isCurrent = currentTest(service);
  const slots = spec.mode?.$case === "global" ? slotsByNode(tasks) : slotsByNumber(tasks);
  const outcomes = slots
    .filter(hasOnlyEnded)
    .map(({ ended }) => decideRestart({ ended, policy: spec.task?.restart, isCurrent, now }));
  const completed = outcomes.filter(({ kind }) => kind === "completed").length;
  const failures = outcomes.flatMap((each) => (each.kind === "given-up" ? [each.reason] : []));
  const running = tasks.filter(shouldRun);
  return {
    started: slotCount(running.filter(isUp)) + completed >= desired,
    healthy: slotCount(running.filter(isReady)) >= desired,
    completed: completed >= desired,
    failure: failures[0] ?? "",
  };
}

const hasOnlyEnded = ({ active, pending, ended }: Slot): boolean =>
  active.length === 0 && pending.length === 0 && ended.length > 0;

/** A slot has two tasks during a start-first update, and counts once. */
const slotCount = (tasks: readonly Task[]): number => new Set(tasks.map(taskSlotKey)).size;

const isUp = (task: Task): boolean =>
  stateOf(task) === TaskState.STARTING || stateOf(task) === TaskState.RUNNING;
