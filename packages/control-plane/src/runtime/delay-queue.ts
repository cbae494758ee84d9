import type { Clock } from "./clock.js";

/** A key in the heap. */
interface Item {
  readonly key: string;
  readonly dueMs: number;
}

/** A queue of keys with due times. A key that is added several times is due once, at the earliest time. */
export class DelayQueue {
  readonly #clock: Clock;
  readonly #onDue: (key: string) => void;
  readonly #dueByKey = new Map<string, number>();
  /** Binary heap, earliest first. An item is stale when `#dueByKey` has another time for its key. */
  readonly #heap: Item[] = [];
  /** All keys share one timer. */
  #cancelTimer: (() => void) | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, onDue: (key: string) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#dueByKey.size;
  }

  /** Adds a key that is due after `delayMs`. */
  add(key: string, delayMs: number): void {
    const dueMs = this.#clock.nowMs() + Math.max(0, delayMs);
    if (dueMs >= (this.#dueByKey.get(key) ?? Number.POSITIVE_INFINITY)) return;
    this.#dueByKey.set(key, dueMs);
    this.#push({ key, dueMs });
    this.#arm();
  }

  /** Removes a key before it is due. */
  delete(key: string): void {
    this.#dueByKey.delete(key);
  }

  clear(): void {
    this.#dueByKey.clear();
    this.#heap.length = 0;
    this.#cancelTimer?.();
    this.#timerDueMs = Number.POSITIVE_INFINITY;
  }

  /** Sets the timer for the first item, unless it fires by then. */
  #arm(): void {
    const dueMs = this.#heap[0]?.dueMs;
    if (dueMs === undefined || dueMs >= this.#timerDueMs) return;
    this.#cancelTimer?.();
    this.#timerDueMs = dueMs;
    this.#cancelTimer = this.#clock.after(Math.max(0, dueMs - this.#clock.nowMs()), () => this.#fire());
  }

  #fire(): void {
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    for (let head = this.#heap[0]; head !== undefined && head.dueMs <= nowMs; head = this.#heap[0]) {
      this.#pop();
      if (this.#dueByKey.get(head.key) !== head.dueMs) continue;
      this.#dueByKey.delete(head.key);
      this.#onDue(head.key);
    }
    this.#arm();
  }

  #push(item: Item): void {
    const heap = this.#heap;
    let index = heap.push(item) - 1;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex];
      if (parent === undefined || parent.dueMs <= item.dueMs) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = item;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const childIndex = this.#earlierChild(index);
      const child = heap[childIndex];
      if (child === undefined || child.dueMs >= last.dueMs) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = last;
  }

  /** Returns the index of the child that is due first. */
  #earlierChild(index: number): number {
    const left = 2 * index + 1;
    const leftDueMs = this.#heap[left]?.dueMs ?? Number.POSITIVE_INFINITY;
    const rightDueMs = this.#heap[left + 1]?.dueMs ?? Number.POSITIVE_INFINITY;
    return rightDueMs < leftDueMs ? left + 1 : left;
  }
}
