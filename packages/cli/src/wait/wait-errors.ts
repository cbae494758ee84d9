import { BerthError, type ErrorCode } from "@berth/proto";
import { explainUnconverged } from "./explain.js";
import { hasFailed, type Progress, type ServiceProgress } from "./progress.js";
import { rolloutStatus } from "./rollout-status.js";

interface Ending {
  readonly code: ErrorCode;
  readonly head: string;
  readonly tail: string;
}

const LOGS = "See more with: berth service logs SERVICE";

const ENDINGS = {
  rolledBack: {
    code: "BERTH_ROLLED_BACK",
    head: "the change failed and was undone:",
    tail: LOGS,
  },
  paused: {
    code: "BERTH_ROLLOUT_PAUSED",
    head: "the change failed and is paused; nothing more happens by itself:",
    tail: "Change it once more, or undo it with: berth service rollback SERVICE",
  },
  job: { code: "BERTH_TASK_FAILED", head: "a job failed:", tail: LOGS },
  tasks: {
    code: "BERTH_TASK_FAILED",
    head: "tasks fail again and again; berth keeps trying, but does not expect them to run:",
    tail: LOGS,
  },
} as const satisfies Readonly<Record<string, Ending>>;

/** Why a wait ended before everything was well, with the reason of every task that failed. */
export function waitFailedError(progress: Progress, outputs: readonly string[]): BerthError {
  const { code, head, tail } = endingOf([...progress.services.values()]);
  return new BerthError({
    code,
    message: [head, ...explainUnconverged(progress), ...outputs, tail].join("\n"),
  });
}

export function timeoutError(progress: Progress, timeoutMs: number): BerthError {
  const head = `not everything runs after ${timeoutMs / 1_000} s; berth goes on with it:`;
  return new BerthError({
    code: "BERTH_NOT_CONVERGED",
    message: [head, ...explainUnconverged(progress)].join("\n"),
  });
}

/** The one that a person has to do something about goes first. */
function endingOf(services: readonly ServiceProgress[]): Ending {
  const kinds = services.map((service) => rolloutStatus(service).kind);
  if (kinds.includes("paused")) return ENDINGS.paused;
  if (kinds.includes("rolled-back")) return ENDINGS.rolledBack;
  return services.some(hasFailed) ? ENDINGS.job : ENDINGS.tasks;
}
