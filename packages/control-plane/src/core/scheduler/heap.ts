// A binary heap in an array. The scheduler uses it to take the best of many nodes while their loads change.

/** Returns whether `a` comes before `b`. Must be a strict order; otherwise the result depends on the input order. */
export type Before<T> = (a: T, b: T) => boolean;

/** Orders the array as a heap, in place. The first item in the order is at index 0. */
export function heapify<T>(items: T[], before: Before<T>): void {
  for (let at = (items.length >> 1) - 1; at >= 0; at -= 1) sink(items, before, at);
}

/** Restores the heap after the first item has moved back in the order. */
export function reorderFirst<T>(items: T[], before: Before<T>): void {
  sink(items, before, 0);
}

/** Removes the first item. */
export function dropFirst<T>(items: T[], before: Before<T>): void {
  const last = items.pop();
  if (last === undefined || items.length === 0) return;
  items[0] = last;
  sink(items, before, 0);
}

/**
 * Moves an item down until no child comes before it.
 *
 * Most items end near the bottom. So the better child of each level moves up first, down to a leaf. Then the item moves
 * up along this path. That takes half as many comparisons as comparing the item on each level.
 */
function sink<T>(items: T[], before: Before<T>, from: number): void {
  const item = items[from];
  if (item === undefined) return;
  let at = from;
  for (;;) {
    const left = items[2 * at + 1];
    if (left === undefined) break;
    const right = items[2 * at + 2];
    const isRightFirst = right !== undefined && before(right, left);
    items[at] = isRightFirst ? right : left;
    at = 2 * at + (isRightFirst ? 2 : 1);
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
