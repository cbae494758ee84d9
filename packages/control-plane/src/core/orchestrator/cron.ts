import { type CronSpec, CronSpec_Concurrency, type CronStatus, parseSchedule } from "@berth/proto";
import { durationText } from "../model/text.js";

/** A run that is later than this is skipped when the spec does not say: longer than any change of leader. */
const DEFAULT_DEADLINE_MS = 60_000;
/** Runs that may be on side by side: more than this is a mistake somewhere. */
const MAX_RUNS_AT_ONCE = 100;

export type CronDecision =
  /** Nothing before that time; absent: nothing ever. */
  | { readonly kind: "wait"; readonly atMs?: number }
  | {
      readonly kind: "change";
      /** Without regard to the runs. */
      readonly status: CronStatus;
      /** Whether a run begins now, and what becomes of those that are on. */
      readonly begin: "no" | "beside" | "instead";
      readonly reason: string;
    }
  /** The spec is wrong: it was written by hand. */
  | { readonly kind: "broken"; readonly why: string };

export interface CronContext {
  /** Runs that are on. */
  readonly running: number;
  /** The service's counter of forced updates: a new one asks for a run now. */
  readonly forceUpdate: number;
  readonly now: number;
}

/**
 * Whether a cron job runs now, and when next. Of times that passed while nobody looked the last one is made up for if
 * it is not older than the starting deadline; the others are skipped. No time gets two runs, whatever the clock does.
 */
export function decideCron(
  cron: CronSpec,
  status: CronStatus | undefined,
  context: CronContext,
): CronDecision {
  const { now, forceUpdate } = context;
  const schedule = parseSchedule(cron.schedule, cron.timeZone);
  if (schedule.kind === "invalid") return { kind: "broken", why: schedule.reason };
  const after = (atMs: number): number => schedule.next(atMs) ?? 0;
  if (status === undefined) {
    const fresh = { runs: [], handledUntilMs: now, message: "", handledForceUpdate: forceUpdate };
    return change({ ...fresh, nextRunAtMs: after(now) }, "no", "it waits for its time");
  }
  const untilMs = Math.max(now, status.handledUntilMs);
  const forced = status.handledForceUpdate !== forceUpdate;
  const isDue = status.nextRunAtMs > 0 && status.nextRunAtMs <= now;
  const next = { ...status, nextRunAtMs: after(untilMs), message: "" };
  if (forced)
    return admit(
      cron,
      { ...next, handledForceUpdate: forceUpdate },
      { ...context, name: "the run that was asked for" },
    );
  if (!isDue) {
    if (next.nextRunAtMs !== status.nextRunAtMs)
      return change({ ...status, ...next }, "no", "its schedule has changed");
    return next.nextRunAtMs === 0 ? { kind: "wait" } : { kind: "wait", atMs: next.nextRunAtMs };
  }
  const passed = { ...next, handledUntilMs: untilMs };
  const deadlineMs = cron.startingDeadlineMs || DEFAULT_DEADLINE_MS;
  const dueMs = status.nextRunAtMs >= now - deadlineMs ? status.nextRunAtMs : after(now - deadlineMs - 1);
  if (dueMs === 0 || dueMs > now) {
    const late = `it could not begin within ${durationText(deadlineMs)}`;
    return skip(passed, `${nameOf(cron, status.nextRunAtMs)}: ${late}`);
  }
  return admit(cron, passed, { ...context, name: nameOf(cron, dueMs) });
}

function admit(
  { concurrency }: CronSpec,
  status: CronStatus,
  { running, name }: CronContext & { readonly name: string },
): CronDecision {
  if (running === 0) return change(status, "beside", `${name} begins`);
  if (concurrency === CronSpec_Concurrency.REPLACE) return change(status, "instead", `${name} begins`);
  if (concurrency !== CronSpec_Concurrency.ALLOW) return skip(status, `${name}: the one before is not done`);
  if (running < MAX_RUNS_AT_ONCE) return change(status, "beside", `${name} begins`);
  return skip(status, `${name}: ${running} are on already`);
}

function skip(status: CronStatus, why: string): CronDecision {
  const message = `skipped ${why}`;
  return change({ ...status, message }, "no", message);
}

function change(
  status: CronStatus,
  begin: Extract<CronDecision, { kind: "change" }>["begin"],
  reason: string,
): CronDecision {
  return { kind: "change", status, begin, reason };
}

/** `the run of 2026-03-01 02:30:00`, by the clock of the job's own time zone. */
function nameOf({ timeZone }: CronSpec, atMs: number): string {
  // Sweden writes dates as ISO 8601 does.
  const clock = new Intl.DateTimeFormat("sv", {
    timeZone: timeZone || "UTC",
    dateStyle: "short",
    timeStyle: "medium",
  });
  return `the run of ${clock.format(atMs)}`;
}
