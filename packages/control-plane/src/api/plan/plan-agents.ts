import { DesiredState, Health, NodeState, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import { isEnded, isPending, shouldRun, stateOf } from "../../core/model/task-state.js";
import { isJob } from "../../core/orchestrator/jobs/job-mode.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

/** What agents would make of the tasks of a service if everything they do went well, one step on. */
export function agentSteps(serviceId: string, state: ClusterState, now: number): readonly Change[] {
  return [...state.tasks.ofService(serviceId).values()].flatMap((task): readonly Change[] => {
    if (isPending(task) || state.nodes.get(task.nodeId)?.state !== NodeState.READY) return [];
    if (task.desiredState === DesiredState.REMOVE) {
      return [{ kind: "delete-task", serviceId, taskId: task.id }];
    }
    const spec = state.services.specOf(serviceId, task.specVersion);
    const next = nextState(task, spec);
    return next === undefined ? [] : [{ kind: "put-task", task: inState(task, next, now) }];
  });
}

function nextState(task: Task, spec: ServiceSpec | undefined): TaskState | undefined {
  if (isEnded(task)) return undefined;
  if (!shouldRun(task)) return TaskState.SHUTDOWN;
  if (stateOf(task) < TaskState.RUNNING) return TaskState.RUNNING;
  return spec !== undefined && isJob(spec) ? TaskState.COMPLETE : undefined;
}

/** Healthy, so that nobody waits to see whether it stays well. */
function inState(task: Task, state: TaskState, now: number): Task {
  const known = task.status ?? {
    message: "",
    containerId: "",
    ports: [],
    addresses: [],
    stoppedExternally: false,
  };
  const isRunning = state === TaskState.RUNNING;
  return {
    ...task,
    status: {
      ...known,
      state,
      sinceMs: now,
      health: isRunning ? Health.HEALTHY : Health.UNSPECIFIED,
      ...(isRunning ? { runningSinceMs: now } : {}),
    },
  };
}
