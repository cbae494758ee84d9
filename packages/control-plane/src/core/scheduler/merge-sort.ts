import type { Before } from "./heap.js";

/**
 * Sorts items stably and returns a new array. Runs that are already in order are only copied.
 *
 * Placement sorts each level of its candidates. `Array.prototype.sort` calls its comparison function from native code,
 * and this call costs more than the comparison itself.
 */
export function mergeSort<T>(items: readonly T[], before: Before<T>): T[] {
  let from = [...items];
  let to = [...items];
  for (let width = 1; width < items.length; width *= 2) {
    for (let start = 0; start < items.length; start += 2 * width) {
      mergeRuns(from, to, { start, width, before });
    }
    [from, to] = [to, from];
  }
  return from;
}

/** Two neighboring runs of sorted items. */
interface Runs<T> {
  readonly start: number;
  /** Length of each of the two runs. The second run may be cut off by the end of the items. */
  readonly width: number;
  readonly before: Before<T>;
}

function mergeRuns<T>(from: readonly T[], to: T[], { start, width, before }: Runs<T>): void {
  const middle = Math.min(start + width, from.length);
  const end = Math.min(middle + width, from.length);
  const [last, first] = [from[middle - 1], from[middle]];
  if (middle === end || last === undefined || first === undefined || !before(first, last)) {
    copy(from, to, { start, end });
    return;
  }
  let left = start;
  let right = middle;
  for (let at = start; at < end; at += 1) {
    const a = left < middle ? from[left] : undefined;
    const b = right < end ? from[right] : undefined;
    if (a === undefined || (b !== undefined && before(b, a))) {
      if (b !== undefined) to[at] = b;
      right += 1;
    } else {
      to[at] = a;
      left += 1;
    }
  }
}

function copy<T>(
  from: readonly T[],
  to: T[],
  { start, end }: { readonly start: number; readonly end: number },
): void {
  for (let at = start; at < end; at += 1) {
    const item = from[at];
    if (item !== undefined) to[at] = item;
  }
}
