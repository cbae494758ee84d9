import { type JobStatus, type Rollout, Rollout_State, type Service } from "@berth/proto";
import type { EventReason, Happening } from "./event.js";

const ROLLOUT_REASONS: ReadonlyMap<Rollout_State, EventReason> = new Map<Rollout_State, EventReason>([
  [Rollout_State.UPDATING, "ROLLOUT_STARTED"],
  [Rollout_State.PAUSED, "ROLLOUT_PAUSED"],
  [Rollout_State.COMPLETED, "ROLLOUT_COMPLETED"],
  [Rollout_State.ROLLING_BACK, "ROLLBACK_STARTED"],
  [Rollout_State.ROLLBACK_PAUSED, "ROLLBACK_PAUSED"],
  [Rollout_State.ROLLBACK_COMPLETED, "ROLLED_BACK"],
]);

type Tell = (reason: EventReason, message: string, atMs?: number) => void;

/** What a change of one service's record says. */
export function eventsOfService(
  { before, after }: { readonly before: Service | undefined; readonly after: Service | undefined },
  timeMs: number,
): readonly Happening[] {
  const service = after ?? before;
  if (service === undefined) return [];
  const events: Happening[] = [];
  const tell: Tell = (reason, message, atMs = timeMs) =>
    void events.push({ timeMs: atMs, reason, message, service });
  if (after === undefined) {
    tell("SERVICE_REMOVED", "");
    return events;
  }
  if (before === undefined) tell("SERVICE_CREATED", sizeText(after));
  else tellChange(before, after, tell);
  tellRollout(before?.rollout, after.rollout, tell);
  tellRuns(runsOf(before), runsOf(after), tell);
  return events;
}

/** What a service's record tells of its past, with the times that it keeps. */
export function pastEventsOfService(service: Service): readonly Happening[] {
  const events: Happening[] = [];
  const tell: Tell = (reason, message, atMs = service.updatedAtMs) =>
    void events.push({ timeMs: atMs, reason, message, service });
  tell("SERVICE_CREATED", "", service.createdAtMs);
  if (service.version > 1) tell("SERVICE_UPDATED", `version ${service.version}`);
  const { rollout } = service;
  if (rollout !== undefined) {
    tell("ROLLOUT_STARTED", versionsText(rollout), rollout.startedAtMs);
    const reason = ROLLOUT_REASONS.get(rollout.state);
    if (rollout.endedAtMs > 0 && reason !== undefined) tell(reason, rollout.message, rollout.endedAtMs);
  }
  for (const run of runsOf(service)) {
    tell("JOB_STARTED", `run ${run.iteration}`, run.startedAtMs);
    if (run.endedAtMs > 0) tellEnd(run, tell, run.endedAtMs);
  }
  return events;
}

function tellChange(before: Service, after: Service, tell: Tell): void {
  if (after.removing && !before.removing) tell("SERVICE_REMOVING", "");
  const scaled = replicasOf(after) !== replicasOf(before);
  const isOnlyScaled = scaled && after.templateVersion === before.templateVersion;
  if (after.version !== before.version && !isOnlyScaled)
    tell("SERVICE_UPDATED", `version ${after.version}${effectText(before, after)}`);
  if (scaled) tell("SCALED", scaleText(before, after));
}

function tellRollout(before: Rollout | undefined, after: Rollout | undefined, tell: Tell): void {
  if (after === undefined) return;
  if (after.state === before?.state && after.startedAtMs === before.startedAtMs) return;
  const reason = ROLLOUT_REASONS.get(after.state);
  if (reason !== undefined) tell(reason, after.message || versionsText(after));
}

function tellRuns(before: readonly JobStatus[], after: readonly JobStatus[], tell: Tell): void {
  const known = new Map(before.map((run) => [run.iteration, run]));
  for (const run of [...after].reverse()) {
    const earlier = known.get(run.iteration);
    if (earlier === undefined) tell("JOB_STARTED", `run ${run.iteration}`);
    if (run.endedAtMs > 0 && (earlier?.endedAtMs ?? 0) === 0) tellEnd(run, tell);
  }
}

function tellEnd({ iteration, failed, message }: JobStatus, tell: Tell, atMs?: number): void {
  const detail = message === "" ? "" : `: ${message}`;
  tell(failed ? "JOB_FAILED" : "JOB_COMPLETED", `run ${iteration}${detail}`, atMs);
}

/** Newest first, each run once. */
function runsOf(service: Service | undefined): readonly JobStatus[] {
  if (service?.cron !== undefined) return service.cron.runs;
  return service?.job === undefined ? [] : [service.job];
}

function replicasOf({ spec, autoscale }: Service): number | undefined {
  if (autoscale !== undefined) return autoscale.replicas;
  return spec?.mode?.$case === "replicated" ? spec.mode.value.replicas : undefined;
}

function scaleText(before: Service, after: Service): string {
  const why = after.autoscale?.message ?? "";
  const numbers = `${replicasOf(before) ?? "?"} → ${replicasOf(after) ?? "?"} replicas`;
  return why === "" ? numbers : `${numbers}: ${why}`;
}

function effectText(before: Service, after: Service): string {
  return after.templateVersion === before.templateVersion ? ", without a restart" : "";
}

function versionsText({ fromVersion, toVersion }: Rollout): string {
  return `version ${fromVersion} → ${toVersion}`;
}

function sizeText(service: Service): string {
  const replicas = replicasOf(service);
  return replicas === undefined ? "" : `${replicas} replicas`;
}
