import type { Task } from "@berth/proto";
import type { ControlClient } from "../client/client.js";
import type { Cli } from "../process/cli.js";
import { hasFailed, isFailed, type Progress, type ServiceProgress, withFailures } from "./progress.js";

/** The reasons must not wait long for what may not be there. */
const TIMEOUT_MS = 2_000;
const MAX_SERVICES = 20;

/**
 * Adds what failed before anybody looked: a change that is undone at once leaves nothing in the stream, but the
 * server remembers the tasks for a while.
 */
export async function addMissedFailures(
  cli: Cli,
  client: ControlClient,
  progress: Progress,
): Promise<Progress> {
  const asked = [...progress.services.values()].filter(hasFailed).slice(0, MAX_SERVICES);
  const completed = await Promise.all(asked.map((service) => completeOne(cli, client, service)));
  const services = new Map(progress.services);
  for (const service of completed) services.set(service.id, service);
  return { ...progress, services };
}

async function completeOne(
  cli: Cli,
  client: ControlClient,
  service: ServiceProgress,
): Promise<ServiceProgress> {
  const signal = AbortSignal.any([cli.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const { tasks } = await client.listTasks({ service: service.id, stack: "", node: "" }, { signal });
    return withFailures(
      service,
      tasks.filter((task) => isOfChange(task, service)),
    );
  } catch {
    // It is a courtesy: the rollout's own words say why, too.
    return service;
  }
}

/** Of the version that was waited for, or of one after it. */
function isOfChange(task: Task, { version = 0 }: ServiceProgress): boolean {
  return isFailed(task) && task.specVersion >= version;
}
