import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, isBerthError, type Node, type Task } from "@berth/proto";
import type { ControlClient } from "../../../client/client.js";
import { retryDuringElection } from "../../../client/leader-change.js";
import { LiveView } from "../../../output/live-view.js";
import { nodeHostname } from "../../../output/nodes.js";
import { hasEnded } from "../../../output/task-text.js";
import { type Cli, InterruptedError, type Terminal } from "../../../process/cli.js";
import { type DrainProgress, evaluateDrain, unfinishedTasksOn } from "./drain-progress.js";
import { remainingLines, renderDrain, serviceLine } from "./render-drain.js";

/** Poll interval. Tasks take seconds to stop, so a shorter one shows nothing new. */
const POLL_INTERVAL_MS = 300;
/** Minimum pause, as a multiple of the time that the last poll took. Limits the load of services with many tasks. */
const PAUSE_PER_POLL = 4;
/** Maximum number of concurrent requests. */
const MAX_CALLS = 8;

export interface DrainWait {
  readonly nodes: readonly Node[];
  readonly timeoutMs: number;
  readonly terminal: Terminal;
}

/**
 * Waits until no task is left on the drained nodes and all moved tasks run, and prints the progress.
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout, with the remaining tasks and their reasons.
 */
export async function waitForDrain(cli: Cli, client: ControlClient, wait: DrainWait): Promise<DrainProgress> {
  const { nodes, timeoutMs, terminal } = wait;
  const deadlineMs = cli.now() + timeoutMs;
  const nodeIds = new Set(nodes.map(({ id }) => id));
  const seen = new Map<string, Task>();
  let endedBefore: ReadonlySet<string> | undefined;
  const print = drainPrinter(terminal, cli.now);
  try {
    for (;;) {
      const startedMs = cli.now();
      const tasks = await retryDuringElection(cli, () => fetchTasks(cli, client, { nodeIds, seen }));
      endedBefore ??= new Set(tasks.filter(hasEnded).map(({ id }) => id));
      const progress = evaluateDrain({ nodeIds, tasks, drainedTasks: seen, endedBeforeIds: endedBefore });
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

/** Returns all tasks of the services that have, or had, a task on the nodes. Adds the tasks on the nodes to `seen`. */
async function fetchTasks(
  cli: Cli,
  client: ControlClient,
  { nodeIds, seen }: { readonly nodeIds: ReadonlySet<string>; readonly seen: Map<string, Task> },
): Promise<readonly Task[]> {
  const list = async (request: { service?: string; node?: string }): Promise<readonly Task[]> => {
    const full = { service: "", stack: "", node: "", ...request };
    return (await client.listTasks(full, { signal: cli.signal })).tasks;
  };
  for (const node of nodeIds) {
    for (const task of unfinishedTasksOn(nodeIds, await list({ node }))) seen.set(task.id, task);
  }
  const services = [...new Set([...seen.values()].map(({ serviceId }) => serviceId))];
  const tasks: Task[] = [];
  for (let at = 0; at < services.length; at += MAX_CALLS) {
    const lists = services
      .slice(at, at + MAX_CALLS)
      .map((service) => list({ service }).catch(emptyIfNotFound));
    tasks.push(...(await Promise.all(lists)).flat());
  }
  return tasks;
}

/** A service that was removed in the meantime has no tasks left. */
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

function drainTimeoutError(progress: DrainProgress, { nodes, timeoutMs }: DrainWait): BerthError {
  const names = nodes.map((node) => nodeHostname({ node })).join(", ");
  const lines = remainingLines(progress).map((line) => `  ${line}`);
  const head = `${names} was not drained within ${timeoutMs / 1_000} s; the drain continues in the background:`;
  const tail =
    "Free up resources on other nodes, relax the constraints, or cancel the drain: berth node activate NODE";
  return new BerthError({ code: "BERTH_NOT_CONVERGED", message: [head, ...lines, tail].join("\n") });
}
