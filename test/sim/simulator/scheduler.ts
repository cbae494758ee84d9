import type { Actor } from "./actor.js";

const realSetImmediate = setImmediate;

/**
 * Number of turns that are queued at once. Node.js runs all promise jobs between two immediates, so this avoids polling
 * its sockets in between.
 */
const TURNS_AT_ONCE = 64;

export interface SimEvent {
  atMs: number;
  readonly order: number;
  /**
   * The process that runs the event. Undefined for the simulation. Dropped when it was killed, kept while it is paused.
   */
  readonly actor: Actor | undefined;
  readonly run: () => void;
  /** Whether no promise job has to run before the next event. */
  readonly isQuiet: boolean;
  isCanceled: boolean;
}

/**
 * Runs events in virtual time, one at a time. The next event runs when all promise jobs of the previous one are done. A
 * message from one actor to another is a separate event, so that all code that runs belongs to the event's actor.
 */
export class Scheduler {
  #nowMs = 0;
  #order = 0;
  #steps = 0;
  #current: Actor | undefined;
  #isRunning = false;
  readonly #heap: SimEvent[] = [];

  /** Milliseconds since the start of the history. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get steps(): number {
    return this.#steps;
  }

  /** The actor whose code runs now. */
  get current(): Actor | undefined {
    return this.#current;
  }

  /** Whether an event or its promise jobs run now. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Schedules an event. The returned function cancels it. */
  after(delayMs: number, actor: Actor | undefined, run: () => void): () => void {
    const event = this.#plan(delayMs, actor, run, false);
    return () => {
      event.isCanceled = true;
    };
  }

  /** Schedules an event of the simulation that only schedules others: the next event does not wait for promise jobs. */
  afterQuiet(delayMs: number, run: () => void): void {
    this.#plan(delayMs, undefined, run, true);
  }

  pause(actor: Actor): void {
    actor.isPaused = true;
  }

  /** Delivers the events that arrived during the pause, in order. */
  resume(actor: Actor): void {
    actor.isPaused = false;
    // The same event objects, so that one can still cancel another.
    for (const event of actor.backlog.splice(0)) {
      event.atMs = this.#nowMs;
      this.#push(event);
    }
  }

  /** Runs all events up to a time, or until `isOver` returns true. */
  runUntil(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      let isEnded = false;
      const turn = (): void => {
        if (isEnded) return;
        this.#current = undefined;
        this.#isRunning = false;
        try {
          isEnded = isOver() || !this.#step(untilMs);
        } catch (error) {
          isEnded = true;
          reject(error);
        }
        if (isEnded) resolve();
      };
      const batch = (): void => {
        if (isEnded) return;
        for (let i = 0; i < TURNS_AT_ONCE; i++) realSetImmediate(turn);
        realSetImmediate(batch);
      };
      batch();
    });
  }

  /** Runs the next event that is not quiet, and the quiet ones before it. Returns false when there is none by then. */
  #step(untilMs: number): boolean {
    for (let event = this.#popBy(untilMs); event !== undefined; event = this.#popBy(untilMs)) {
      if (!this.#isReady(event)) continue;
      const { actor } = event;
      this.#nowMs = Math.max(this.#nowMs, event.atMs);
      this.#steps += 1;
      this.#current = actor;
      this.#isRunning = true;
      event.run();
      if (event.isQuiet) continue;
      if (actor !== undefined) actor.busyUntilMs = this.#nowMs + actor.turnMs;
      return true;
    }
    this.#current = undefined;
    this.#isRunning = false;
    this.#nowMs = untilMs;
    return false;
  }

  /** Takes four arguments instead of an object, since this is the hot path of a simulation. */
  #plan(delayMs: number, actor: Actor | undefined, run: () => void, isQuiet: boolean): SimEvent {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const event = { atMs, order: ++this.#order, actor, run, isQuiet, isCanceled: false };
    this.#push(event);
    return event;
  }

  #isReady(event: SimEvent): boolean {
    const { actor } = event;
    if (event.isCanceled) return false;
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
