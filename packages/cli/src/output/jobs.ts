import type { CronStatus, JobStatus, Service } from "@berth/proto";
import { formatTimeSince, formatTimeUntil, pluralize } from "./human.js";
import type { Field } from "./table.js";

// The job, cron and autoscaling status of a service in `berth service inspect`: fields of its table, and JSON for scripts.

/** Returns the state of a job run. Scripts compare these names, so they must not change. */
function runStateName({ endedAtMs, failed }: JobStatus): "running" | "failed" | "completed" {
  if (endedAtMs === 0) return "running";
  return failed ? "failed" : "completed";
}

/** Returns the JSON form of a job run. */
export function jobJson(run: JobStatus): unknown {
  const { iteration, startedAtMs, endedAtMs, message } = run;
  return { iteration, state: runStateName(run), startedAtMs, endedAtMs, message };
}

/** Returns the JSON form of a cron status. */
export function cronJson({ nextRunAtMs, runs, message }: CronStatus): unknown {
  return { nextRunAtMs, runs: runs.map(jobJson), message };
}

/** Returns the table field with the run of a job. Empty for cron jobs, which have several runs, and for other services. */
export function jobFields(service: Service | undefined, nowMs: number): readonly Field[] {
  const { job, cron } = service ?? {};
  return job === undefined || cron !== undefined ? [] : [["Run", runText(job, nowMs)]];
}

/** Returns the table fields with the schedule of a cron job and its runs. Empty for other services. */
export function cronFields(service: Service | undefined, nowMs: number): readonly Field[] {
  const { cron, spec } = service ?? {};
  const schedule = spec?.cron;
  if (schedule === undefined) return [];
  const zone = schedule.timeZone === "" ? "UTC" : schedule.timeZone;
  const next =
    cron === undefined || cron.nextRunAtMs === 0 ? "" : `, next ${formatTimeUntil(cron.nextRunAtMs, nowMs)}`;
  return [
    ["Schedule", `${schedule.schedule} (${zone})${next}`],
    ["Runs", cron?.runs.map((run) => runText(run, nowMs)) ?? []],
    ["Skipped", cron?.message ?? ""],
  ];
}

/** Returns the table field with the autoscaling status. Empty for a service that is not autoscaled. */
export function autoscaleFields(service: Service | undefined, nowMs: number): readonly Field[] {
  const status = service?.autoscale;
  if (status === undefined) return [];
  const { replicas, changedAtMs, message } = status;
  const when = changedAtMs === 0 ? "" : `, changed ${formatTimeSince(changedAtMs, nowMs)}`;
  return [["Autoscale", `${pluralize(replicas, "replica")}${when}${message === "" ? "" : `: ${message}`}`]];
}

function runText(run: JobStatus, nowMs: number): string {
  const { iteration, startedAtMs, endedAtMs, message } = run;
  const when =
    endedAtMs === 0
      ? `started ${formatTimeSince(startedAtMs, nowMs)}`
      : `ended ${formatTimeSince(endedAtMs, nowMs)}`;
  return `${iteration}: ${runStateName(run)}, ${when}${message === "" ? "" : `: ${message}`}`;
}
