import type { PlannedStep, Rollout, Task } from "@berth/proto";
import type { Plan } from "../../core/model/plan.js";
import { isRolloutActive } from "../../core/model/rollout.js";
import { isEnded, isPending, shouldRun } from "../../core/model/task-state.js";
import { currentTest } from "../../core/model/template.js";
import { reconcile } from "../../core/reconcile.js";
import { gateOf, withGate } from "../../reconciler/gates.js";
import { planChanges } from "../../reconciler/plan-changes.js";
import type { ClusterState, Draft } from "../../state/cluster-state.js";
import { serviceSnapshot } from "../../state/service-snapshot.js";
import { agentSteps } from "./plan-agents.js";
import { StepRecorder } from "./planned-steps.js";

/** Looks at tasks that a forecast may take: some tenths of a second, in which the leader does nothing else. */
const MAX_LOOKS = 20_000;

/** What would become of one service. */
export interface Forecast {
  readonly steps: readonly PlannedStep[];
  readonly problems: readonly string[];
  /** Steps that would follow in the same way. */
  readonly omittedSteps: number;
}

export interface ForecastContext {
  readonly state: ClusterState;
  /** Of that state: all that is written is taken back with it. */
  readonly draft: Draft;
  readonly now: number;
  readonly newId: () => string;
}

/** A service while its future is worked out. */
interface Course {
  readonly serviceId: string;
  readonly recorder: StepRecorder;
  plan: Plan;
}

/**
 * Works out what would be done about services, by doing it: the core decides on the draft, agents are taken to do
 * well whatever they are told, and so on until nothing is left to do.
 */
export function forecast(
  serviceIds: readonly string[],
  context: ForecastContext,
): ReadonlyMap<string, Forecast> {
  const { state } = context;
  const courses = serviceIds.map((serviceId) => {
    const recorder = new StepRecorder(state.tasks.ofService(serviceId).values());
    return { serviceId, recorder, plan: NOTHING };
  });
  const isCutOff = carryOut(courses, context);
  const hostnameOf = (nodeId: string): string => state.nodes.get(nodeId)?.description?.hostname || nodeId;
  return new Map(
    courses.map((course) => {
      const steps = course.recorder.steps({ hostnameOf });
      const omittedSteps = isCutOff ? outdatedTasks(course.serviceId, state) : 0;
      return [course.serviceId, { steps, problems: course.plan.problems, omittedSteps }];
    }),
  );
}

/** Goes on until nothing is left to do; true when it had to end before. */
function carryOut(courses: readonly Course[], context: ForecastContext): boolean {
  const { state } = context;
  let { now } = context;
  let hasWaited = false;
  for (let looks = 0; looks < MAX_LOOKS; ) {
    for (const { serviceId } of courses) looks += 1 + state.tasks.ofService(serviceId).size;
    const isMoving = takeRound(courses, { ...context, now });
    // What does not go on after a wait waits for something that is no matter of time.
    const nextMs = isMoving ? now : hasWaited ? undefined : nextBatchMs(courses, state);
    if (nextMs === undefined) return false;
    hasWaited = !isMoving;
    now = Math.max(now + 1, nextMs);
  }
  return true;
}

/** Decides about every service, and lets the agents do it; true when there was something to do. */
function takeRound(courses: readonly Course[], context: ForecastContext): boolean {
  const { state, draft, now } = context;
  let isMoving = false;
  for (const course of courses) isMoving = advance(course, context) || isMoving;
  for (const { serviceId } of courses) {
    const steps = agentSteps(serviceId, state, now);
    draft.write(steps);
    isMoving ||= steps.length > 0;
  }
  return isMoving;
}

/** Tasks that an update has not come to. */
function outdatedTasks(serviceId: string, state: ClusterState): number {
  const service = state.services.get(serviceId);
  if (service === undefined || service.removing) return 0;
  const isCurrent = currentTest(service);
  const isLeft = (task: Task): boolean => shouldRun(task) && !isEnded(task) && !isCurrent(task);
  return [...state.tasks.ofService(serviceId).values()].filter(isLeft).length;
}

/** Decides once about a service; true when there was something to do. */
function advance(course: Course, { state, draft, now, newId }: ForecastContext): boolean {
  const snapshot = serviceSnapshot(state, course.serviceId);
  if (snapshot === undefined) return false;
  // No deadline runs out: what does not get further is told as it stands, and not what would follow from that.
  const decision = { now, newId, leaderSinceMs: now };
  const plan = withGate(gateOf(snapshot, state, now), (holdReason) =>
    reconcile(snapshot, state.nodes, { ...decision, holdReason }),
  );
  course.plan = plan;
  course.recorder.nextRound();
  for (const action of plan.actions) course.recorder.take(action);
  draft.write(planChanges(plan, state, now));
  return plan.actions.length > 0;
}

/** When the pause between two batches ends. Updates that wait for room, which may never come, are not waited for. */
function nextBatchMs(courses: readonly Course[], state: ClusterState): number | undefined {
  const due = courses.flatMap(({ serviceId, plan }) => {
    const rollout = state.services.get(serviceId)?.rollout;
    return mayGoOn(serviceId, rollout, state) && plan.requeueAtMs !== undefined ? [plan.requeueAtMs] : [];
  });
  return due.length === 0 ? undefined : Math.min(...due);
}

function mayGoOn(serviceId: string, rollout: Rollout | undefined, state: ClusterState): boolean {
  if (!isRolloutActive(rollout)) return false;
  return ![...state.tasks.ofService(serviceId).values()].some((task) => shouldRun(task) && isPending(task));
}

const NOTHING: Plan = { actions: [], problems: [] };
