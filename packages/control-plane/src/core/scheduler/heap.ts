/** A binary heap in an array, for choosing the best of many again and again while the chosen one changes. */

/** Whether `a` is to come out before `b`. Must be a strict order, or the result depends on that of the input. */
export type Before<T> = (a: T, b: T) => boolean;

/** Orders the array as a heap, in place: the first to come out is at index 0. */
export function heapify<T>(items: T[], before: Before<T>): void {
  for (let at = (items.length >> 1) - 1; at >= 0; at -= 1) sink(items, before, at);
}

/** Puts the first item where it belongs after it has changed for the worse. */
export function reorderFirst<T>(items: T[], before: Before<T>): void {
  sink(items, before, 0);
}

/** Takes the first item away. */
export function dropFirst<T>(items: T[], before: Before<T>): void {
  const last = items.pop();
  if (last === undefined || items.length === 0) return;
  items[0] = last;
  sink(items, before, 0);
}

/**
 * Moves the item down to where no child comes before it. Most items end near the bottom, so a path is cleared all the
 * way down first, and then the item moves up it: half the comparisons of looking at the item on each level.
 */
function sink<T>(items: T[], before: Before<T>, from: number): void {
  const item = items[from];
  if (item === undefined) return;
  let at = from;
  for (;;) {
    const left = items[2 * at + 1];
    if (left === undefined) break;
    const right = items[2 * at + 2];
    const rightWins = right !== undefined && before(right, left);
    items[at] = rightWins ? right : left;
    at = 2 * at + (rightWins ? 2 : 1);
  }
  while (at > from) {
    const up = (at - 1) >> 1;
    const parent = items[up];
    if (parent === undefined || !before(item, parent)) break;
    items[at] = parent;
    at = up;
  }
  items[at] = item;
}
