import { UpdateConfig_FailureAction, UpdateConfig_Order } from "@berth/proto";
import { parseDurationMs } from "../../../compose/text/units.js";
import { type Edit, edit, inRollout } from "./edit.js";
import { choiceParser, parseCount, parseRatio } from "./parse-flag-values.js";

const UPDATE_ORDERS = {
  "start-first": UpdateConfig_Order.START_FIRST,
  "stop-first": UpdateConfig_Order.STOP_FIRST,
};
const FAILURE_ACTIONS = {
  rollback: UpdateConfig_FailureAction.ROLLBACK,
  pause: UpdateConfig_FailureAction.PAUSE,
  continue: UpdateConfig_FailureAction.CONTINUE,
};

const setUpdateDeadline = inRollout<number>("update", (_, progressDeadlineMs) => ({ progressDeadlineMs }));
const setRollbackDeadline = inRollout<number>("rollback", (_, progressDeadlineMs) => ({
  progressDeadlineMs,
}));

/** Flags that change the update policy and the rollback policy. */
export const ROLLOUT_EDITS = {
  ...configEdits("update"),
  ...configEdits("rollback"),
  "progress-deadline": edit(parseDurationMs, (spec, progressDeadlineMs) => {
    const updated = setUpdateDeadline(spec, progressDeadlineMs);
    // A service without a rollback policy is rolled back with its update policy.
    return spec.rollback === undefined ? updated : setRollbackDeadline(updated, progressDeadlineMs);
  }),
} satisfies Readonly<Record<string, Edit>>;

type ConfigEdits<Part extends string> = Readonly<
  Record<
    `${Part}-${"parallelism" | "delay" | "order" | "failure-action" | "monitor" | "max-failure-ratio"}`,
    Edit
  >
>;

/** Creates the edits of one policy. The overload tells the compiler which flags these are. */
function configEdits<Part extends "update" | "rollback">(part: Part): ConfigEdits<Part>;
function configEdits(part: "update" | "rollback"): Readonly<Record<string, Edit>> {
  return {
    [`${part}-parallelism`]: edit(
      parseCount,
      inRollout(part, (_, parallelism) => ({ parallelism })),
    ),
    [`${part}-delay`]: edit(
      parseDurationMs,
      inRollout(part, (_, delayMs) => ({ delayMs })),
    ),
    [`${part}-order`]: edit(
      choiceParser(UPDATE_ORDERS),
      inRollout(part, (_, order) => ({ order })),
    ),
    [`${part}-failure-action`]: edit(
      choiceParser(FAILURE_ACTIONS),
      inRollout(part, (_, failureAction) => ({ failureAction })),
    ),
    [`${part}-monitor`]: edit(
      parseDurationMs,
      inRollout(part, (_, monitorMs) => ({ monitorMs })),
    ),
    [`${part}-max-failure-ratio`]: edit(
      parseRatio,
      inRollout(part, (_, maxFailureRatio) => ({ maxFailureRatio })),
    ),
  };
}
