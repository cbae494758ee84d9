import type { History, HistoryEvent } from "./history.js";

/** Maximum number of attempts. Each simulates a whole history. */
const MAX_ATTEMPTS = 300;

/**
 * Removes events that are not needed for the failure: first halves, then smaller parts, down to single events. The
 * result still fails, and no single event can be removed from it.
 */
export async function shrink(
  history: History,
  fails: (smaller: History) => Promise<boolean>,
): Promise<History> {
  let best = history;
  let attempts = 0;
  for (let size = Math.ceil(best.events.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < best.events.length && attempts < MAX_ATTEMPTS; ) {
      const smaller = { ...best, events: without(best.events, start, size) };
      attempts += 1;
      if (await fails(smaller)) best = smaller;
      else start += size;
    }
  }
  return best;
}

function without(events: readonly HistoryEvent[], start: number, count: number): readonly HistoryEvent[] {
  return [...events.slice(0, start), ...events.slice(start + count)];
}
