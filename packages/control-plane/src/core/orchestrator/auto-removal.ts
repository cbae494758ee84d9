import type { Service, ServiceSpec } from "@berth/proto";
import { isRunActive } from "./job-schedule.js";

/** Time that the client of an ended job has to read the result and remove the job itself. */
export const AUTO_REMOVE_AFTER_MS = 10_000;

/** Whether a finished job is removed now. */
export type AutoRemoval =
  | { readonly kind: "remove"; readonly update: { readonly service: Service; readonly reason: string } }
  /** The job stays. `dueMs` has the times of the next decision, if time changes anything. */
  | { readonly kind: "keep"; readonly dueTimesMs: readonly number[] };

/** Decides when a job with automatic removal is removed. Its client may have disconnected. */
export function decideAutoRemoval(service: Service, spec: ServiceSpec, nowMs: number): AutoRemoval {
  const { job, templateVersion } = service;
  const isOver = job !== undefined && job.templateVersion === templateVersion && !isRunActive(job);
  if (!spec.autoRemove || spec.cron !== undefined || !isOver) return { kind: "keep", dueTimesMs: [] };
  const removeAtMs = job.endedAtMs + AUTO_REMOVE_AFTER_MS;
  if (nowMs < removeAtMs) return { kind: "keep", dueTimesMs: [removeAtMs] };
  const update = { service: { ...service, removing: true, updatedAtMs: nowMs }, reason: "its run is over" };
  return { kind: "remove", update };
}
