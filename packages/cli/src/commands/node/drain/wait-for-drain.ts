import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, type Node, type Task } from "@berth/proto";
import { type ControlClient, retryDuringElection } from "../../../client/client.js";
import { LiveView } from "../../../output/live-view.js";
import { hostname } from "../../../output/nodes.js";
import { type Cli, InterruptedError, type Terminal } from "../../../process/cli.js";
import { type DrainProgress, drainProgress, hasEnded, tasksOn } from "./drain-progress.js";
import { drainLine, remainingLines, renderDrain } from "./render-drain.js";

/** Tasks stop within seconds: looking more often shows nothing new. */
const LOOK_EVERY_MS = 300;
/** Services of very many tasks take a while to look at: the server is to do other things most of the time. */
const REST_PER_LOOK = 4;
/** Services whose tasks are fetched at once. */
const MAX_CALLS = 8;

export interface DrainWait {
  readonly nodes: readonly Node[];
  readonly timeoutMs: number;
  readonly terminal: Terminal;
}

/**
 * Shows how the tasks of drained nodes leave, until none is left there and none that left is on its way.
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout, with what is stuck and why.
 */
export async function waitForDrain(cli: Cli, client: ControlClient, wait: DrainWait): Promise<DrainProgress> {
  const { nodes, timeoutMs, terminal } = wait;
  const deadlineMs = cli.now() + timeoutMs;
  const nodeIds = new Set(nodes.map(({ id }) => id));
  const seen = new Map<string, Task>();
  let endedBefore: ReadonlySet<string> | undefined;
  const printer = drainPrinter(terminal, cli.now);
  try {
    for (;;) {
      const startedMs = cli.now();
      const tasks = await retryDuringElection(cli, () => fetchTasks(cli, client, { nodeIds, seen }));
      endedBefore ??= new Set(tasks.filter(hasEnded).map(({ id }) => id));
      const progress = drainProgress({ nodeIds, tasks, seen, endedBefore });
      const isOver = progress.isDone || cli.now() >= deadlineMs;
      printer(progress, isOver);
      if (progress.isDone) return progress;
      if (isOver) throw notDrained(progress, wait);
      const restMs = REST_PER_LOOK * (cli.now() - startedMs);
      await sleep(Math.max(LOOK_EVERY_MS, restMs), undefined, { signal: cli.signal });
    }
  } catch (error) {
    if (!cli.signal.aborted) throw error;
    const names = nodes.map((node) => hostname({ node })).join(", ");
    throw new InterruptedError(
      `Stopped waiting. The drain of ${names} goes on: berth node ps shows how far it is.`,
    );
  }
}

/** All tasks of the services that have, or had, a task on the nodes; those on the nodes are remembered. */
async function fetchTasks(
  cli: Cli,
  client: ControlClient,
  { nodeIds, seen }: { readonly nodeIds: ReadonlySet<string>; readonly seen: Map<string, Task> },
): Promise<readonly Task[]> {
  const list = async (request: { service?: string; node?: string }): Promise<readonly Task[]> => {
    const whole = { service: "", stack: "", node: "", ...request };
    return (await client.listTasks(whole, { signal: cli.signal })).tasks;
  };
  for (const node of nodeIds) {
    for (const task of tasksOn(nodeIds, await list({ node }))) seen.set(task.id, task);
  }
  const services = [...new Set([...seen.values()].map(({ serviceId }) => serviceId))];
  const tasks: Task[] = [];
  for (let at = 0; at < services.length; at += MAX_CALLS) {
    const lists = services.slice(at, at + MAX_CALLS).map((service) => list({ service }).catch(noneIfGone));
    tasks.push(...(await Promise.all(lists)).flat());
  }
  return tasks;
}

/** A service that was removed meanwhile has moved everything. */
function noneIfGone(error: unknown): readonly Task[] {
  if (error instanceof BerthError && error.code === "BERTH_NOT_FOUND") return [];
  throw error;
}

/** Draws over itself on a terminal; elsewhere a line whenever one changes. */
function drainPrinter(
  terminal: Terminal,
  now: () => number,
): (progress: DrainProgress, isLast: boolean) => void {
  if (terminal.isTty) {
    const view = new LiveView(terminal, now);
    return (progress, isLast) => view.draw(renderDrain(progress, terminal.columns), isLast);
  }
  const printed = new Map<string, string>();
  return ({ services }) => {
    for (const service of services) {
      const line = drainLine(service);
      if (printed.get(service.name) !== line) terminal.write(`${line}\n`);
      printed.set(service.name, line);
    }
  };
}

function notDrained(progress: DrainProgress, { nodes, timeoutMs }: DrainWait): BerthError {
  const names = nodes.map((node) => hostname({ node })).join(", ");
  const lines = remainingLines(progress).map((line) => `  ${line}`);
  const head = `${names} still has tasks after ${timeoutMs / 1_000} s; the drain goes on:`;
  const tail =
    "Make room elsewhere, change what keeps them there, or take the node back: berth node activate";
  return new BerthError({ code: "BERTH_NOT_CONVERGED", message: [head, ...lines, tail].join("\n") });
}
