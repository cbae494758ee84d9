import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, isBerthError, type ListTasksRequest, type Node, type Task } from "@berth/proto";
import type { ControlClient } from "../../../client/client.js";
import { retryDuringElection } from "../../../client/leader-change.js";
import { LiveView } from "../../../output/live-view.js";
import { nodeHostname } from "../../../output/nodes.js";
import { hasEnded } from "../../../output/task-text.js";
import { type Cli, InterruptedError, type Terminal } from "../../../process/cli.js";
import { type DrainProgress, evaluateDrain, unfinishedTasksOn } from "./drain-progress.js";
import { remainingLines, renderDrain, serviceLine } from "./render-drain.js";

/** Interval between two polls. Tasks take seconds to stop, so a shorter interval shows nothing new. */
const POLL_INTERVAL_MS = 300;
/** Minimum pause between two polls, as a multiple of the last poll's duration. Limits the load of large services. */
const PAUSE_PER_POLL = 4;
/** Maximum number of concurrent requests. */
const MAX_CONCURRENT_CALLS = 8;

export interface DrainWaitOptions {
  readonly nodes: readonly Node[];
  readonly timeoutMs: number;
  readonly terminal: Terminal;
}

/**
 * Waits until no task is left on the drained nodes and all moved tasks run, and prints the progress.
 *
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout, with the remaining tasks and their reasons.
 */
export async function waitForDrain(
  cli: Cli,
  client: ControlClient,
  wait: DrainWaitOptions,
): Promise<DrainProgress> {
  const { nodes, timeoutMs, terminal } = wait;
  const deadlineMs = cli.now() + timeoutMs;
  const nodeIds = new Set(nodes.map(({ id }) => id));
  const drainedTasks = new Map<string, Task>();
  let endedBeforeIds: ReadonlySet<string> | undefined;
  const print = drainPrinter(terminal, cli.now);
  try {
    for (;;) {
      const startedMs = cli.now();
      const nodeTasks = await retryDuringElection(cli, () => fetchNodeTasks(cli, client, nodeIds));
      for (const task of nodeTasks) drainedTasks.set(task.id, task);
      const serviceIds = new Set([...drainedTasks.values()].map(({ serviceId }) => serviceId));
      const tasks = await retryDuringElection(cli, () => fetchServiceTasks(cli, client, [...serviceIds]));
      endedBeforeIds ??= new Set(tasks.filter(hasEnded).map(({ id }) => id));
      const progress = evaluateDrain({ nodeIds, tasks, drainedTasks, endedBeforeIds });
      const isLast = progress.isDone || cli.now() >= deadlineMs;
      print(progress, isLast);
      if (progress.isDone) return progress;
      if (isLast) throw drainTimeoutError(progress, wait);
      const pauseMs = PAUSE_PER_POLL * (cli.now() - startedMs);
      await sleep(Math.max(POLL_INTERVAL_MS, pauseMs), undefined, { signal: cli.signal });
    }
  } catch (error) {
    if (!cli.signal.aborted) throw error;
    const names = nodes.map((node) => nodeHostname({ node })).join(", ");
    throw new InterruptedError(
      `Stopped waiting. The drain of ${names} continues in the background; check it with berth node ps.`,
    );
  }
}

/** Returns the unfinished tasks on the nodes. */
async function fetchNodeTasks(
  cli: Cli,
  client: ControlClient,
  nodeIds: ReadonlySet<string>,
): Promise<readonly Task[]> {
  const tasks: Task[] = [];
  for (const node of nodeIds) tasks.push(...(await listTasks(cli, client, { node })));
  return unfinishedTasksOn(nodeIds, tasks);
}

/** Returns all tasks of the services. */
async function fetchServiceTasks(
  cli: Cli,
  client: ControlClient,
  serviceIds: readonly string[],
): Promise<readonly Task[]> {
  const tasks: Task[] = [];
  for (let start = 0; start < serviceIds.length; start += MAX_CONCURRENT_CALLS) {
    const lists = serviceIds
      .slice(start, start + MAX_CONCURRENT_CALLS)
      .map((service) => listTasks(cli, client, { service }).catch(emptyIfNotFound));
    tasks.push(...(await Promise.all(lists)).flat());
  }
  return tasks;
}

async function listTasks(
  cli: Cli,
  client: ControlClient,
  filter: Partial<ListTasksRequest>,
): Promise<readonly Task[]> {
  const request = { service: "", stack: "", node: "", ...filter };
  return (await client.listTasks(request, { signal: cli.signal })).tasks;
}

/** Returns no tasks for a service that was removed during the drain. */
function emptyIfNotFound(error: unknown): readonly Task[] {
  if (isBerthError(error, "BERTH_NOT_FOUND")) return [];
  throw error;
}

/** Redraws lines in place on a terminal. Elsewhere, prints a line for each change. */
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
      const line = serviceLine(service);
      if (printed.get(service.name) !== line) terminal.write(`${line}\n`);
      printed.set(service.name, line);
    }
  };
}

function drainTimeoutError(progress: DrainProgress, { nodes, timeoutMs }: DrainWaitOptions): BerthError {
  const names = nodes.map((node) => nodeHostname({ node })).join(", ");
  const lines = remainingLines(progress).map((line) => `  ${line}`);
  const heading = `${names} was not drained within ${timeoutMs / 1_000} s; the drain continues in the background:`;
  const advice =
    "Free up resources on other nodes, relax the constraints, or cancel the drain: berth node activate NODE";
  return new BerthError({ code: "BERTH_NOT_CONVERGED", message: [heading, ...lines, advice].join("\n") });
}
