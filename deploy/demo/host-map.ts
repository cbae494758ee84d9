import { type Node, NodeState, type Task, TaskState } from "@berth/proto";
import type { ClusterReader } from "./cluster.js";
import type { Screen } from "./screen.js";

const MARGIN = "  ";

export interface HostMapOptions {
  readonly stack: string;
  /** IDs of the tasks that ran before the power cut. All other tasks are marked as new. */
  readonly earlierTaskIds?: ReadonlySet<string>;
}

/** Draws the hosts with their replicas. Returns the IDs of the running tasks. */
export async function drawHostMap(
  screen: Screen,
  cluster: ClusterReader,
  { stack, earlierTaskIds }: HostMapOptions,
): Promise<ReadonlySet<string>> {
  const [nodes, tasks] = await Promise.all([cluster.listNodes(), cluster.listTasks({ stack })]);
  const running = tasks.filter(({ status }) => status?.state === TaskState.RUNNING);
  for (const node of nodes.toSorted(byHostname)) {
    const tasksOnNode = running.filter(({ nodeId }) => nodeId === node.id);
    drawHost(screen, node, tasksOnNode.sort(byName), earlierTaskIds);
  }
  return new Set(running.map(({ id }) => id));
}

function drawHost(
  screen: Screen,
  node: Node,
  tasks: readonly Task[],
  earlierTaskIds: ReadonlySet<string> | undefined,
): void {
  const { hostname = "?", address = "" } = node.description ?? {};
  const isUp = node.state === NodeState.READY;
  const state = isUp ? screen.paint("green", "ready  ") : screen.paint("red", "down   ");
  const names = tasks.map((task) => formatTaskName(screen, task, earlierTaskIds)).join("  ");
  const taskList = names === "" ? screen.paint("dim", "no tasks of this stack") : names;
  screen.line(`${MARGIN}${screen.paint("bold", hostname.padEnd(4))}${address.padEnd(13)}${state}${taskList}`);
}

/** Returns the task's short name. A "+" marks new tasks, because the output may have no color. */
function formatTaskName(screen: Screen, task: Task, earlierTaskIds: ReadonlySet<string> | undefined): string {
  const name = `${task.serviceName.slice(task.stack.length + 1)}.${task.slot}`;
  const isNew = earlierTaskIds !== undefined && !earlierTaskIds.has(task.id);
  return isNew ? screen.paint("green", `+${name}`) : name;
}

function byHostname(a: Node, b: Node): number {
  return (a.description?.hostname ?? "").localeCompare(b.description?.hostname ?? "", "en", {
    numeric: true,
  });
}

function byName(a: Task, b: Task): number {
  return a.serviceName.localeCompare(b.serviceName) || a.slot - b.slot;
}
