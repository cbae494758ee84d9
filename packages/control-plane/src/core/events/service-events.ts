import { assertNever, type JobStatus, type Rollout, Rollout_State, type Service } from "@berth/proto";
import type { FinishedWait, WaitChange } from "../endpoints/waiting-clients.js";
import type { EventReason, EventRecord } from "./event.js";

const ROLLOUT_REASONS: ReadonlyMap<Rollout_State, EventReason> = new Map<Rollout_State, EventReason>([
  [Rollout_State.UPDATING, "ROLLOUT_STARTED"],
  [Rollout_State.PAUSED, "ROLLOUT_PAUSED"],
  [Rollout_State.COMPLETED, "ROLLOUT_COMPLETED"],
  [Rollout_State.ROLLING_BACK, "ROLLBACK_STARTED"],
  [Rollout_State.ROLLBACK_PAUSED, "ROLLBACK_PAUSED"],
  [Rollout_State.ROLLBACK_COMPLETED, "ROLLED_BACK"],
]);

/** Adds an event to a list. The time defaults to the time of the change. */
type AddEvent = (reason: EventReason, message: string, atMs?: number) => void;

/** A service's record before and after a change. Undefined if there is no record. */
export interface ServiceChange {
  readonly before: Service | undefined;
  readonly after: Service | undefined;
}

/** Returns the events of one change of a service's record. */
export function serviceEvents({ before, after }: ServiceChange, timeMs: number): readonly EventRecord[] {
  const service = after ?? before;
  if (service === undefined) return [];
  const events: EventRecord[] = [];
  const add: AddEvent = (reason, message, atMs = timeMs) => {
    events.push({ timeMs: atMs, reason, message, service });
  };
  if (after === undefined) {
    add("SERVICE_REMOVED", "");
    return events;
  }
  if (before === undefined) {
    add("SERVICE_CREATED", sizeText(after));
  } else {
    addUpdate(before, after, add);
  }
  addRollout(before?.rollout, after.rollout, add);
  addRuns(recordedRuns(before), recordedRuns(after), add);
  return events;
}

/** Returns the past events that can be derived from a service's record, with their recorded times. */
export function pastServiceEvents(service: Service): readonly EventRecord[] {
  const events: EventRecord[] = [];
  const add: AddEvent = (reason, message, atMs = service.updatedAtMs) => {
    events.push({ timeMs: atMs, reason, message, service });
  };
  add("SERVICE_CREATED", "", service.createdAtMs);
  if (service.version > 1) add("SERVICE_UPDATED", `version ${service.version}`);
  const { rollout } = service;
  if (rollout !== undefined) {
    add("ROLLOUT_STARTED", versionsText(rollout), rollout.startedAtMs);
    const reason = ROLLOUT_REASONS.get(rollout.state);
    if (rollout.endedAtMs > 0 && reason !== undefined) add(reason, rollout.message, rollout.endedAtMs);
  }
  for (const run of recordedRuns(service)) {
    add("JOB_STARTED", `run ${run.iteration}`, run.startedAtMs);
    if (run.endedAtMs > 0) addRunEnd(run, add, run.endedAtMs);
  }
  return events;
}

/** Returns the event for clients that began or ceased to wait for a task of a service. */
export function waitEvent(change: WaitChange, service: Service, timeMs: number): EventRecord {
  switch (change.kind) {
    case "began":
      return { timeMs, reason: "CONNECTIONS_WAITING", message: "no task accepts connections", service };
    case "ended":
      return { timeMs, reason: "CONNECTIONS_RELEASED", message: waitText(change.wait), service };
    default:
      return assertNever(change);
  }
}

function waitText({ durationMs, clients, refused }: FinishedWait): string {
  const waited = `${clients} ${clients === 1 ? "connection" : "connections"} waited`;
  const outcome = refused === 0 ? "" : `, ${refused} of them in vain`;
  return `${waited} within ${(durationMs / 1_000).toFixed(1)} s${outcome}`;
}

function addUpdate(before: Service, after: Service, add: AddEvent): void {
  if (after.removing && !before.removing) add("SERVICE_REMOVING", "");
  const isScaled = replicasOf(after) !== replicasOf(before);
  const isOnlyScaled = isScaled && after.templateVersion === before.templateVersion;
  if (after.version !== before.version && !isOnlyScaled) {
    add("SERVICE_UPDATED", `version ${after.version}${effectText(before, after)}`);
  }
  if (isScaled) add("SCALED", scaleText(before, after));
}

function addRollout(before: Rollout | undefined, after: Rollout | undefined, add: AddEvent): void {
  if (after === undefined) return;
  if (after.state === before?.state && after.startedAtMs === before.startedAtMs) return;
  const reason = ROLLOUT_REASONS.get(after.state);
  if (reason !== undefined) add(reason, after.message || versionsText(after));
}

function addRuns(before: readonly JobStatus[], after: readonly JobStatus[], add: AddEvent): void {
  const previousRuns = new Map(before.map((run) => [run.iteration, run]));
  for (const run of [...after].reverse()) {
    const earlier = previousRuns.get(run.iteration);
    if (earlier === undefined) add("JOB_STARTED", `run ${run.iteration}`);
    if (run.endedAtMs > 0 && (earlier?.endedAtMs ?? 0) === 0) addRunEnd(run, add);
  }
}

function addRunEnd({ iteration, failed, message }: JobStatus, add: AddEvent, atMs?: number): void {
  const detail = message === "" ? "" : `: ${message}`;
  add(failed ? "JOB_FAILED" : "JOB_COMPLETED", `run ${iteration}${detail}`, atMs);
}

/**
 * Returns the runs in a job's record, newest first. Unlike `jobRuns`, it includes the runs of a schedule that was removed
 * from the spec.
 */
function recordedRuns(service: Service | undefined): readonly JobStatus[] {
  if (service?.cron !== undefined) return service.cron.runs;
  return service?.job === undefined ? [] : [service.job];
}

function replicasOf({ spec, autoscale }: Service): number | undefined {
  if (autoscale !== undefined) return autoscale.replicas;
  return spec?.mode?.$case === "replicated" ? spec.mode.value.replicas : undefined;
}

function scaleText(before: Service, after: Service): string {
  const reason = after.autoscale?.message ?? "";
  const numbers = `${replicasOf(before) ?? "?"} → ${replicasOf(after) ?? "?"} replicas`;
  return reason === "" ? numbers : `${numbers}: ${reason}`;
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
