import type { ClusterEvent } from "../model/event.js";

/** The events of a part of the timeline. */
export interface EventBar {
  /** Number of the part, from 0 for the oldest. */
  readonly index: number;
  readonly events: number;
  readonly hasProblem: boolean;
}

export interface TimeRange {
  readonly startMs: number;
  readonly endMs: number;
}

/** Number of parts into which the timeline is divided. */
export const BAR_COUNT = 160;

/** Counts the events in equal parts of a range. Parts without events are left out. */
export function eventBars(
  events: readonly Pick<ClusterEvent, "timeMs" | "isWarning">[],
  { startMs, endMs }: TimeRange,
): readonly EventBar[] {
  if (endMs <= startMs) return [];
  const bars = new Map<number, EventBar>();
  for (const { timeMs, isWarning } of events) {
    if (timeMs < startMs || timeMs > endMs) continue;
    const share = (timeMs - startMs) / (endMs - startMs);
    const index = Math.min(BAR_COUNT - 1, Math.floor(share * BAR_COUNT));
    const bar = bars.get(index);
    bars.set(index, {
      index,
      events: (bar?.events ?? 0) + 1,
      hasProblem: isWarning || bar?.hasProblem === true,
    });
  }
  return [...bars.values()];
}
