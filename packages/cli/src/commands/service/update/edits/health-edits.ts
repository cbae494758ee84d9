import { Healthcheck } from "@berth/proto";
import { type Edit, edit, inContainer, inHealthcheck } from "../edit.js";
import { booleanFlag, count, durationMs, nonEmptyText } from "../flag-values.js";

/** When a container counts as healthy. */
export const HEALTH_EDITS = {
  "health-cmd": edit(
    nonEmptyText,
    inHealthcheck((_, line) => ({ test: ["CMD-SHELL", line] })),
  ),
  "health-interval": edit(
    durationMs,
    inHealthcheck((_, intervalMs) => ({ intervalMs })),
  ),
  "health-timeout": edit(
    durationMs,
    inHealthcheck((_, timeoutMs) => ({ timeoutMs })),
  ),
  "health-retries": edit(
    count,
    inHealthcheck((_, retries) => ({ retries })),
  ),
  "health-start-period": edit(
    durationMs,
    inHealthcheck((_, startPeriodMs) => ({ startPeriodMs })),
  ),
  "health-start-interval": edit(
    durationMs,
    inHealthcheck((_, startIntervalMs) => ({ startIntervalMs })),
  ),
  "no-healthcheck": edit(
    booleanFlag,
    inContainer(() => ({ healthcheck: Healthcheck.fromPartial({ test: ["NONE"] }) })),
  ),
} satisfies Readonly<Record<string, Edit>>;
