import { assertNever, SlotView_Progress as Progress, type Rollout, type SlotView } from "@berth/proto";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { slotKey } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { evaluateSlots } from "../orchestrator/convergence.js";
import { isJob } from "../orchestrator/job-schedule.js";
import type { SlotProgress, SlotState } from "../orchestrator/slot-state.js";

/** Returns the views of the slots of a service while its rollout is active or paused. Empty otherwise. */
export function viewSlots(
  snapshot: ServiceSnapshot,
  cluster: ClusterSnapshot,
  nowMs: number,
): readonly SlotView[] {
  const { service, spec } = snapshot;
  const { rollout } = service;
  if (rollout === undefined || service.removing || isJob(spec)) return [];
  if (!isRolloutActive(rollout) && !isRolloutPaused(rollout)) return [];
  const failed = new Set(rollout.failedSlots);
  return evaluateSlots(snapshot, cluster, nowMs).states.map((state) =>
    viewSlot(state, service.id, failed, rollout),
  );
}

function viewSlot(
  state: SlotState,
  serviceId: string,
  failed: ReadonlySet<string>,
  rollout: Rollout,
): SlotView {
  const { slot, progress, reason, giveUpAtMs = 0 } = state;
  const key = slotKey(slot);
  return {
    key: `${serviceId}/${key}`,
    serviceId,
    slot: slot.number,
    nodeId: slot.nodeId,
    progress: failed.has(key) ? Progress.FAILED : progressOf(progress),
    untilMs: untilMs(progress, rollout, giveUpAtMs),
    reason,
  };
}

/** Returns when the state of a slot changes although its task does not, or 0. */
function untilMs(progress: SlotProgress, rollout: Rollout, giveUpAtMs: number): number {
  if (progress.kind === "monitoring") return progress.untilMs;
  return progress.kind === "updating" && isRolloutActive(rollout) ? giveUpAtMs : 0;
}

function progressOf({ kind }: SlotProgress): Progress {
  switch (kind) {
    case "new":
      return Progress.NEW;
    case "outdated":
      return Progress.OUTDATED;
    case "updating":
      return Progress.UPDATING;
    case "monitoring":
      return Progress.MONITORING;
    case "updated":
      return Progress.UPDATED;
    default:
      return assertNever(kind);
  }
}
