import { BerthError, type ErrorCode } from "@berth/proto";
import { explainUnconverged } from "./explain.js";
import { hasFailed, type Progress, type ServiceProgress } from "./progress.js";
import { rolloutStatus } from "./rollout-status.js";

/** The code of an error and its first and last line, between which the reasons are listed. */
interface FailureText {
  readonly code: ErrorCode;
  readonly heading: string;
  readonly advice: string;
}

const SEE_LOGS = "For more output, run: berth service logs SERVICE";

const FAILURE_TEXTS = {
  rolledBack: {
    code: "BERTH_ROLLED_BACK",
    heading: "the update failed and was rolled back:",
    advice: SEE_LOGS,
  },
  paused: {
    code: "BERTH_ROLLOUT_PAUSED",
    heading: "the update failed and is paused; it does not resume automatically:",
    advice: "Update the service again, or run: berth service rollback SERVICE",
  },
  job: { code: "BERTH_TASK_FAILED", heading: "a job failed:", advice: SEE_LOGS },
  tasks: {
    code: "BERTH_TASK_FAILED",
    heading: "tasks keep failing; berth continues to restart them, but they are not expected to recover:",
    advice: SEE_LOGS,
  },
} as const satisfies Readonly<Record<string, FailureText>>;

/** Creates the error for a wait that failed, with the reasons of all failed tasks and their last output. */
export function waitFailedError(progress: Progress, outputs: readonly string[]): BerthError {
  const { code, heading, advice } = selectFailure([...progress.services.values()]);
  return new BerthError({
    code,
    message: [heading, ...explainUnconverged(progress), ...outputs, advice].join("\n"),
  });
}

/** Creates the error for a wait that timed out. `operation` is for example "deployment of shop". */
export function timeoutError(progress: Progress, timeoutMs: number, operation: string): BerthError {
  const heading = `the ${operation} did not converge within ${timeoutMs / 1_000} s; it continues in the background:`;
  return new BerthError({
    code: "BERTH_NOT_CONVERGED",
    message: [heading, ...explainUnconverged(progress)].join("\n"),
  });
}

/** Returns the failure that the user has to act on. A paused update comes first. */
function selectFailure(services: readonly ServiceProgress[]): FailureText {
  const kinds = services.map((service) => rolloutStatus(service).kind);
  if (kinds.includes("paused")) return FAILURE_TEXTS.paused;
  if (kinds.includes("rolled-back")) return FAILURE_TEXTS.rolledBack;
  return services.some(hasFailed) ? FAILURE_TEXTS.job : FAILURE_TEXTS.tasks;
}
