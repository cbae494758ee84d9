import { Availability, NodeState, type Service, type Task, TaskState } from "@berth/proto";
import { isJobImage } from "../docker/images.js";
import { type CheckContext, runningContainers } from "./check-context.js";
import { isJob, stateOf } from "./records.js";

/** Maximum delay of a scheduled run. */
const DECIDED_MS = 10_000;
/** Time for one task of a job: pull, start, and the longest run of a job image. */
const STEP_MS = 6_000;

/** Returns why a job is not done. Empty if it is. */
export function unmetJobGoals(
  service: Service,
  context: CheckContext,
  hasNoRoom: (task: Task) => boolean,
): readonly string[] {
  const { records } = context;
  const { spec, job, cron } = service;
  const name = spec?.name ?? service.id;
  if (!isJobImage(spec?.task?.container?.image ?? "")) return [];
  if (spec?.cron !== undefined) {
    const isLate =
      cron !== undefined && cron.nextRunAtMs > 0 && cron.nextRunAtMs < leaderNow(context) - DECIDED_MS;
    return isLate ? [`a run of ${name} was due at ${new Date(cron.nextRunAtMs).toISOString()}`] : [];
  }
  const waiting = records.tasksOf(service.id).some((task) => {
    return stateOf(task) === TaskState.NEW && hasNoRoom(task);
  });
  // A global job's task waits for its node.
  const isBound = spec?.mode?.$case === "globalJob" && !areAllActive(context);
  if (waiting || isBound) return [];
  if (job === undefined || job.endedAtMs === 0) return [`${name} is not done`];
  if (job.failed) return [`${name} has failed: ${job.message}`];
  return runningContainers(context)
    .filter(({ container }) => container.serviceId === service.id)
    .map(({ container, host }) => `${container.name} still runs on ${host.name}`);
}

/** Returns the longest time that the current jobs may take. */
export function jobAllowanceMs({ records }: CheckContext): number {
  let longest = 0;
  for (const { spec } of records.services.values()) {
    if (!isJob(spec) || spec?.cron !== undefined) continue;
    const { totalCompletions, maxConcurrent } =
      spec?.mode?.$case === "replicatedJob" ? spec.mode.value : { totalCompletions: 1, maxConcurrent: 0 };
    const steps = maxConcurrent === 0 ? 1 : Math.ceil(totalCompletions / maxConcurrent);
    longest = Math.max(longest, steps * STEP_MS);
  }
  return longest;
}

function areAllActive({ records }: CheckContext): boolean {
  return [...records.nodes.values()].every(
    ({ availability, state }) => availability === Availability.ACTIVE && state === NodeState.READY,
  );
}

function leaderNow({ cluster, records }: CheckContext): number {
  const leader = cluster.servers.find(({ address }) => address === records.leader);
  return cluster.world.nowOf(leader?.host ?? "");
}
