import { type Node, NodeState, type Task, TaskState } from "@berth/proto";
import type { Cluster } from "./cluster.js";
import type { Screen } from "./screen.js";

const MARGIN = "  ";

export interface HostMapOptions {
  readonly stack: string;
  /** Ids of tasks that were there before; others are shown as new. */
  readonly known?: ReadonlySet<string>;
}

/** Draws which host runs which replica; returns the ids of the running tasks. */
export async function drawHostMap(
  screen: Screen,
  cluster: Cluster,
  { stack, known }: HostMapOptions,
): Promise<ReadonlySet<string>> {
  const [nodes, tasks] = await Promise.all([cluster.nodes(), cluster.tasksOf({ stack })]);
  const running = tasks.filter(({ status }) => status?.state === TaskState.RUNNING);
  for (const node of [...nodes].sort(byHostname)) {
    const here = running.filter(({ nodeId }) => nodeId === node.id);
    drawHost(screen, node, here.sort(byName), known);
  }
  return new Set(running.map(({ id }) => id));
}

function drawHost(
  screen: Screen,
  node: Node,
  tasks: readonly Task[],
  known: ReadonlySet<string> | undefined,
): void {
  const { hostname = "?", address = "" } = node.description ?? {};
  const isUp = node.state === NodeState.READY;
  const state = screen.paint(isUp ? "green" : "red", (isUp ? "ready" : "down").padEnd(7));
  const names = tasks.map((task) => nameOf(screen, task, known)).join("  ");
  const shown = names === "" ? screen.paint("dim", "nothing of the stack") : names;
  screen.line(`${MARGIN}${screen.paint("bold", hostname.padEnd(4))}${address.padEnd(13)}${state}${shown}`);
}

/** A "+" marks what was not there before, also where there is no colour. */
function nameOf(screen: Screen, task: Task, known: ReadonlySet<string> | undefined): string {
  const name = `${task.serviceName.slice(task.stack.length + 1)}.${task.slot}`;
  const isNew = known !== undefined && !known.has(task.id);
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
