import type { PlannedStep, Task } from "@berth/proto";
import { nodeNameById } from "../../core/model/node-name.js";
import type { Plan } from "../../core/model/plan.js";
import { isRolloutActive } from "../../core/model/rollout.js";
import { isEnded, isPending, shouldRun } from "../../core/model/task-state.js";
import { currentTaskFilter } from "../../core/model/template.js";
import { reconcile } from "../../core/reconcile.js";
import { planChanges } from "../../reconciler/plan-changes.js";
import { planWithDependencies } from "../../reconciler/plan-with-dependencies.js";
import type { ClusterState, Draft } from "../../state/cluster-state.js";
import { serviceSnapshot } from "../../state/service-snapshot.js";
import { StepRecorder } from "./planned-steps.js";
import { simulateAgents } from "./simulate-agents.js";

/** Maximum number of visited tasks, so that a forecast blocks the leader for at most a few hundred milliseconds. */
const MAX_VISITED_TASKS = 20_000;

const EMPTY_PLAN: Plan = { actions: [], problems: [] };

/** The planned steps of one service. */
export interface Forecast {
  readonly steps: readonly PlannedStep[];
  readonly problems: readonly string[];
  /** Number of further steps of the same kind that are left out. */
  readonly omittedSteps: number;
}

export interface ForecastContext {
  readonly state: ClusterState;
  /** The draft of `state`. Its changes are undone after the forecast. */
  readonly draft: Draft;
  readonly nowMs: number;
  readonly newId: () => string;
}

/** The forecast of one service while it is computed. */
interface ServiceForecast {
  readonly serviceId: string;
  readonly recorder: StepRecorder;
  plan: Plan;
}

/**
 * Computes what would happen to services by running the reconciler on a draft of the records. Agents are simulated,
 * and their actions always succeed. Ends when no service has anything left to do.
 */
export function forecast(
  serviceIds: readonly string[],
  context: ForecastContext,
): ReadonlyMap<string, Forecast> {
  const { state } = context;
  const services = serviceIds.map((serviceId) => {
    const recorder = new StepRecorder(state.tasks.ofService(serviceId).values());
    return { serviceId, recorder, plan: EMPTY_PLAN };
  });
  const isTruncated = runRounds(services, context);
  const hostnameOf = (nodeId: string): string => nodeNameById(nodeId, state.nodes);
  return new Map(
    services.map((service) => {
      const steps = service.recorder.steps(hostnameOf);
      const omittedSteps = isTruncated ? countOutdatedTasks(service.serviceId, state) : 0;
      return [service.serviceId, { steps, problems: service.plan.problems, omittedSteps }];
    }),
  );
}

/** Runs rounds until nothing changes. Returns true when the limit of visited tasks ended it earlier. */
function runRounds(services: readonly ServiceForecast[], context: ForecastContext): boolean {
  const { state } = context;
  let { nowMs } = context;
  let hasWaited = false;
  for (let visited = 0; visited < MAX_VISITED_TASKS; ) {
    for (const { serviceId } of services) visited += 1 + state.tasks.ofService(serviceId).size;
    const hasChanged = runRound(services, { ...context, nowMs });
    nowMs += 1;
    if (hasChanged) {
      hasWaited = false;
      continue;
    }
    // When nothing changes after a pause, no service is waiting for time to pass.
    const batchMs = hasWaited ? undefined : nextBatchMs(services, state);
    if (batchMs === undefined) return false;
    hasWaited = true;
    nowMs = Math.max(nowMs, batchMs);
  }
  return true;
}

/** Reconciles every service once, then simulates the agents. Returns true when anything changed. */
function runRound(services: readonly ServiceForecast[], context: ForecastContext): boolean {
  const { state, draft, nowMs } = context;
  let hasChanged = false;
  for (const service of services) hasChanged = reconcileService(service, context) || hasChanged;
  for (const { serviceId } of services) {
    const changes = simulateAgents(serviceId, state, nowMs);
    draft.write(changes);
    hasChanged ||= changes.length > 0;
  }
  return hasChanged;
}

function reconcileService(
  service: ServiceForecast,
  { state, draft, nowMs, newId }: ForecastContext,
): boolean {
  const snapshot = serviceSnapshot(state, service.serviceId);
  if (snapshot === undefined) return false;
  // With `leaderSinceMs` at now, no deadline passes, so a blocked service is reported as it is.
  const decision = { nowMs, newId, leaderSinceMs: nowMs };
  const plan = planWithDependencies(snapshot, { state, nowMs }, (holdReason) =>
    reconcile(snapshot, state.nodes, { ...decision, holdReason }),
  );
  service.plan = plan;
  service.recorder.startRound();
  for (const action of plan.actions) service.recorder.record(action);
  draft.write(planChanges(plan, state, nowMs));
  return plan.actions.length > 0;
}

/** Returns how many tasks the update has not replaced. */
function countOutdatedTasks(serviceId: string, state: ClusterState): number {
  const service = state.services.get(serviceId);
  if (service === undefined || service.removing) return 0;
  const isCurrent = currentTaskFilter(service);
  const isOutdated = (task: Task): boolean => shouldRun(task) && !isEnded(task) && !isCurrent(task);
  return [...state.tasks.ofService(serviceId).values()].filter(isOutdated).length;
}

/** Returns when the pause between two batches ends. Ignores updates that wait for a free node. */
function nextBatchMs(services: readonly ServiceForecast[], state: ClusterState): number | undefined {
  const due = services.flatMap(({ serviceId, plan }) => {
    const rollout = state.services.get(serviceId)?.rollout;
    const canContinue = isRolloutActive(rollout) && !hasPendingTask(serviceId, state);
    return canContinue && plan.requeueAtMs !== undefined ? [plan.requeueAtMs] : [];
  });
  return due.length === 0 ? undefined : Math.min(...due);
}

function hasPendingTask(serviceId: string, state: ClusterState): boolean {
  return [...state.tasks.ofService(serviceId).values()].some((task) => shouldRun(task) && isPending(task));
}
