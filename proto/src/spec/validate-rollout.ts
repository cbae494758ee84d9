import { type ServiceSpec, type UpdateConfig, UpdateConfig_FailureAction } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

/** Checks the policies for updates and rollbacks. */
export function validateRollout({ update, rollback }: ServiceSpec, report: Report): void {
  if (update !== undefined) validateConfig(update, "update", report);
  if (rollback === undefined) return;
  validateConfig(rollback, "rollback", report);
  if (rollback.failureAction === UpdateConfig_FailureAction.ROLLBACK) {
    report("rollback.failure_action", "a rollback that fails cannot be rolled back; use pause or continue");
  }
}

function validateConfig(config: UpdateConfig, path: string, report: Report): void {
  const durations = {
    delay_ms: config.delayMs,
    monitor_ms: config.monitorMs ?? 0,
    progress_deadline_ms: config.progressDeadlineMs ?? 0,
  };
  for (const [name, ms] of Object.entries(durations)) {
    if (ms < 0) report(`${path}.${name}`, "the duration is negative");
  }
  const ratio = config.maxFailureRatio;
  if (!(ratio >= 0 && ratio <= 1)) report(`${path}.max_failure_ratio`, `${ratio} is not between 0 and 1`);
}
