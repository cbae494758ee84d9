import { DesiredState, Health, NodeState, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import { isEnded, isPending, shouldRun, stateOf } from "../../core/model/task-state.js";
import { isJob } from "../../core/orchestrator/job-schedule.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

const EMPTY_STATUS = {
  message: "",
  containerId: "",
  ports: [],
  addresses: [],
  stoppedExternally: false,
  errorCode: "",
};

/** Returns the next status change of each task of a service. Every action of the simulated agents succeeds. */
export function simulateAgents(serviceId: string, state: ClusterState, nowMs: number): readonly Change[] {
  return [...state.tasks.ofService(serviceId).values()].flatMap((task): readonly Change[] => {
    if (isPending(task) || state.nodes.get(task.nodeId)?.state !== NodeState.READY) return [];
    if (task.desiredState === DesiredState.REMOVE) {
      return [{ kind: "delete-task", serviceId, taskId: task.id }];
    }
    const spec = state.services.versions.specOf(serviceId, task.specVersion);
    const next = nextState(task, spec);
    return next === undefined ? [] : [{ kind: "put-task", task: withState(task, next, nowMs) }];
  });
}

function nextState(task: Task, spec: ServiceSpec | undefined): TaskState | undefined {
  if (isEnded(task)) return undefined;
  if (!shouldRun(task)) return TaskState.SHUTDOWN;
  if (stateOf(task) < TaskState.RUNNING) return TaskState.RUNNING;
  return spec !== undefined && isJob(spec) ? TaskState.COMPLETE : undefined;
}

/** Returns the task in a new state. A running task is healthy at once, so that no monitoring time has to pass. */
function withState(task: Task, state: TaskState, nowMs: number): Task {
  const isRunning = state === TaskState.RUNNING;
  return {
    ...task,
    status: {
      ...(task.status ?? EMPTY_STATUS),
      state,
      sinceMs: nowMs,
      health: isRunning ? Health.HEALTHY : Health.UNSPECIFIED,
      ...(isRunning ? { runningSinceMs: nowMs } : {}),
    },
  };
}
