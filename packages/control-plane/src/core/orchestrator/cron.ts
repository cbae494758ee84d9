import {
  assertNever,
  CronSpec_Concurrency as Concurrency,
  type CronSpec,
  type CronStatus,
  parseSchedule,
} from "@berth/proto";
import { durationText } from "../model/text.js";

/** Default maximum delay of a run. Later runs are skipped. Longer than any change of the leader. */
const DEFAULT_STARTING_DEADLINE_MS = 60_000;
/** Maximum number of concurrent runs. More runs indicate a wrong schedule. */
const MAX_CONCURRENT_RUNS = 100;

/** Whether a run begins now, and whether it runs beside the active runs or replaces them. */
export type RunStart = "none" | "beside" | "replace";

/** Decision about a cron job's schedule. */
export type CronDecision =
  /** No run begins before `atMs`. Undefined if the schedule has no further time. */
  | { readonly kind: "wait"; readonly atMs?: number }
  | {
      readonly kind: "change";
      /** The new status. Its runs are unchanged. */
      readonly status: CronStatus;
      readonly begin: RunStart;
      readonly reason: string;
    }
  /** The schedule cannot be parsed, because the record was edited by hand. */
  | { readonly kind: "invalid"; readonly reason: string };

/** The inputs of a decision about a schedule. */
export interface CronContext {
  /** Number of active runs. */
  readonly running: number;
  /** The service's counter of forced updates. A new value requests a run now. */
  readonly forceUpdate: number;
  readonly nowMs: number;
}

/**
 * Decides whether a run of a cron job begins now, and when the next one begins.
 *
 * If several scheduled times have passed, only the last one gets a run, and only within the starting deadline. A
 * scheduled time never gets two runs, even if the clock goes backwards.
 */
export function decideCron(
  cron: CronSpec,
  status: CronStatus | undefined,
  context: CronContext,
): CronDecision {
  const { nowMs, forceUpdate } = context;
  const schedule = parseSchedule(cron.schedule, cron.timeZone);
  if (schedule.kind === "invalid") return { kind: "invalid", reason: schedule.reason };
  const after: NextTime = (atMs) => schedule.next(atMs) ?? 0;
  if (status === undefined) {
    const initial = { runs: [], handledUntilMs: nowMs, message: "", handledForceUpdate: forceUpdate };
    return change({ ...initial, nextRunAtMs: after(nowMs) }, "none", "the first run is scheduled");
  }
  const untilMs = Math.max(nowMs, status.handledUntilMs);
  const next = { ...status, nextRunAtMs: after(untilMs), message: "" };
  if (status.handledForceUpdate !== forceUpdate) {
    return admit(cron, { ...next, handledForceUpdate: forceUpdate }, context, "the requested run");
  }
  if (status.nextRunAtMs === 0 || status.nextRunAtMs > nowMs) {
    if (next.nextRunAtMs !== status.nextRunAtMs) return change(next, "none", "its schedule has changed");
    return next.nextRunAtMs === 0 ? { kind: "wait" } : { kind: "wait", atMs: next.nextRunAtMs };
  }
  return decideDueRun(
    cron,
    { ...next, handledUntilMs: untilMs },
    { ...context, dueMs: status.nextRunAtMs, after },
  );
}

/** Returns the first scheduled time after a time. 0 when there is none. */
type NextTime = (atMs: number) => number;

interface DueRunContext extends CronContext {
  /** The scheduled time that has passed. */
  readonly dueMs: number;
  readonly after: NextTime;
}

/** Begins the run that is due, or the first later one that is still within the starting deadline. */
function decideDueRun(
  cron: CronSpec,
  handled: CronStatus,
  { dueMs, after, ...context }: DueRunContext,
): CronDecision {
  const deadlineMs = cron.startingDeadlineMs || DEFAULT_STARTING_DEADLINE_MS;
  const oldestMs = context.nowMs - deadlineMs;
  const startMs = dueMs >= oldestMs ? dueMs : after(oldestMs - 1);
  if (startMs === 0 || startMs > context.nowMs) {
    const cause = `it could not begin within ${durationText(deadlineMs)}`;
    return skip(handled, `${runName(cron, dueMs)}: ${cause}`);
  }
  return admit(cron, handled, context, runName(cron, startMs));
}

/** Begins or skips a run, according to the number of active runs. */
function admit(
  { concurrency }: CronSpec,
  status: CronStatus,
  { running }: CronContext,
  name: string,
): CronDecision {
  const reason = `${name} begins`;
  if (running === 0) return change(status, "beside", reason);
  switch (concurrency) {
    case Concurrency.REPLACE:
      return change(status, "replace", reason);
    case Concurrency.ALLOW:
      return running < MAX_CONCURRENT_RUNS
        ? change(status, "beside", reason)
        : skip(status, `${name}: ${running} runs are active`);
    case Concurrency.UNSPECIFIED:
    case Concurrency.FORBID:
      return skip(status, `${name}: the previous run has not ended`);
    default:
      return assertNever(concurrency);
  }
}

function skip(status: CronStatus, cause: string): CronDecision {
  const message = `skipped ${cause}`;
  return change({ ...status, message }, "none", message);
}

function change(status: CronStatus, begin: RunStart, reason: string): CronDecision {
  return {
    kind: "change",
    status,
    begin,
    reason,
  };
}

/** Returns a run's name with its time in the job's time zone: `the run of 2026-03-01 02:30:00`. */
function runName({ timeZone }: CronSpec, atMs: number): string {
  // The Swedish locale formats dates as ISO 8601 does.
  const format = new Intl.DateTimeFormat("sv", {
    timeZone: timeZone || "UTC",
    dateStyle: "short",
    timeStyle: "medium",
  });
  return `the run of ${format.format(atMs)}`;
}
