import type { Actor } from "./actor.js";

const realSetImmediate = setImmediate;

export interface SimEvent {
  atMs: number;
  readonly order: number;
  /** Whose code runs; undefined: the world's. Dropped when it is dead, kept while it is paused. */
  readonly actor: Actor | undefined;
  readonly run: () => void;
  isCancelled: boolean;
}

/**
 * Virtual time. One event at a time; the next one runs when all promise jobs of the one before have settled. Whatever
 * passes from one actor to another is an event of its own, so that all code that runs meanwhile is the event's actor's.
 */
export class Scheduler {
  #nowMs = 0;
  #order = 0;
  #steps = 0;
  #current: Actor | undefined;
  #isRunning = false;
  readonly #heap: SimEvent[] = [];

  /** Since the beginning of the history. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Whose code runs at the moment. */
  get current(): Actor | undefined {
    return this.#current;
  }

  /** True while an event runs, and what it set off. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Runs `run` as `actor` after a while; the returned function cancels that. */
  after(delayMs: number, actor: Actor | undefined, run: () => void): () => void {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const event = { atMs, order: ++this.#order, actor, run, isCancelled: false };
    this.#push(event);
    return () => {
      event.isCancelled = true;
    };
  }

  pause(actor: Actor): void {
    actor.isPaused = true;
  }

  /** What came meanwhile comes now, in order. */
  resume(actor: Actor): void {
    actor.isPaused = false;
    for (const { isCancelled, run } of actor.backlog.splice(0)) if (!isCancelled) this.after(0, actor, run);
  }

  /** Runs everything up to then. Ends early once `isOver` says so. */
  async runUntil(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    for (let event = this.#popBy(untilMs); event !== undefined; event = this.#popBy(untilMs)) {
      if (!this.#isReady(event)) continue;
      this.#nowMs = Math.max(this.#nowMs, event.atMs);
      this.#steps += 1;
      this.#current = event.actor;
      this.#isRunning = true;
      event.run();
      await settled();
      this.#current = undefined;
      this.#isRunning = false;
      if (event.actor !== undefined) event.actor.busyUntilMs = this.#nowMs + event.actor.turnMs;
      if (isOver()) return;
    }
    this.#nowMs = untilMs;
  }

  #isReady(event: SimEvent): boolean {
    const { actor } = event;
    if (event.isCancelled) return false;
    if (actor === undefined) return true;
    if (!actor.isAlive) return false;
    if (actor.isPaused) {
      actor.backlog.push(event);
      return false;
    }
    if (actor.busyUntilMs > event.atMs) {
      event.atMs = actor.busyUntilMs;
      this.#push(event);
      return false;
    }
    return true;
  }

  #popBy(untilMs: number): SimEvent | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.atMs > untilMs) return undefined;
    const last = this.#heap.pop();
    if (last !== undefined && last !== first) this.#sink(last);
    return first;
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex];
      if (parent === undefined || !isBefore(event, parent)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = event;
  }

  #sink(event: SimEvent): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      const left = heap[2 * index + 1];
      const right = heap[2 * index + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (!isBefore(child, event)) break;
      heap[index] = child;
      index = 2 * index + (isRight ? 2 : 1);
    }
    heap[index] = event;
  }
}

function isBefore(left: SimEvent, right: SimEvent): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

/** When every promise job and tick has run: nothing of the code under test waits for anything but virtual events. */
function settled(): Promise<void> {
  return new Promise((resolve) => realSetImmediate(resolve));
}
