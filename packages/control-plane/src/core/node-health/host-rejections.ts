import { type Service, type Task, TaskState } from "@berth/proto";
import { byAge, endText, shouldRun, stateOf } from "../model/task-state.js";
import { templateVersionAt } from "../model/template.js";

/** Maximum number of problems per node. A host that rejects one service usually rejects many. */
const MAX_PROBLEMS = 5;

/** A node, and the records that show whether its host causes rejections. */
export interface HostRejectionContext {
  readonly nodeId: string;
  /** All tasks of the node, including ended tasks. */
  readonly tasks: Iterable<Task>;
  readonly serviceOf: (serviceId: string) => Service | undefined;
  /** Returns the tasks of a service on all nodes. */
  readonly tasksOf: (serviceId: string) => Iterable<Task>;
}

/**
 * Returns one problem per service whose tasks cannot start because of the node's host, newest first.
 *
 * The host is the cause when another node has started the same template. A rejection no longer counts once a later task
 * has started on the node. The task history shows both, so no state is stored.
 */
export function hostRejections({
  nodeId,
  tasks,
  serviceOf,
  tasksOf,
}: HostRejectionContext): readonly string[] {
  const rejected: Task[] = [];
  let lastStartMs = 0;
  for (const task of tasks) {
    lastStartMs = Math.max(lastStartMs, startedAtMs(task) ?? 0);
    if (stateOf(task) === TaskState.REJECTED && shouldRun(task)) rejected.push(task);
  }
  const problems: string[] = [];
  for (const task of newestPerService(rejected)) {
    const service = serviceOf(task.serviceId);
    if (service === undefined || (task.status?.sinceMs ?? 0) < lastStartMs) continue;
    if (!hasStartedElsewhere(task, service, nodeId, tasksOf(task.serviceId))) continue;
    problems.push(problemText(task));
    if (problems.length === MAX_PROBLEMS) break;
  }
  return problems;
}

function newestPerService(tasks: readonly Task[]): Iterable<Task> {
  const newest = new Map<string, Task>();
  for (const task of tasks.toSorted(byAge)) {
    if (!newest.has(task.serviceId)) newest.set(task.serviceId, task);
  }
  return newest.values();
}

function hasStartedElsewhere(
  rejected: Task,
  service: Service,
  nodeId: string,
  tasks: Iterable<Task>,
): boolean {
  const template = templateVersionAt(service, rejected.specVersion);
  for (const task of tasks) {
    if (task.nodeId === nodeId || startedAtMs(task) === undefined) continue;
    if (templateVersionAt(service, task.specVersion) === template) return true;
  }
  return false;
}

/** Returns when the task began to run, or undefined if it has never run. */
function startedAtMs({ status }: Task): number | undefined {
  return status?.runningSinceMs;
}

function problemText(task: Task): string {
  const reason = endText(task);
  const advice =
    ADVICE_BY_ERROR.find(([pattern]) => pattern.test(reason))?.[1] ?? "run berth doctor on this host";
  return `cannot start tasks of service ${task.serviceName}, which other nodes run: ${reason}; ${advice}`;
}

/** Advice by Docker's error message. The first match counts: the message for a taken port matches two patterns. */
const ADVICE_BY_ERROR: readonly (readonly [RegExp, string])[] = [
  [
    /port is already allocated|address already in use/i,
    "stop the program that uses the port, or publish another port",
  ],
  [
    /programming external connectivity|iptables|nftables/i,
    "restart Docker, which restores its firewall rules",
  ],
  [/no space left on device/i, "free disk space, for example with docker system prune"],
];
