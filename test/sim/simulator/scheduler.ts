import type { Actor } from "./actor.js";

const realSetImmediate = setImmediate;

/** Node runs all promise jobs between one immediate and the next; queueing many at once spares it a look at its sockets. */
const TURNS_AT_ONCE = 64;

export interface SimEvent {
  atMs: number;
  readonly order: number;
  /** Whose code runs; undefined: the world's. Dropped when it is dead, kept while it is paused. */
  readonly actor: Actor | undefined;
  readonly run: () => void;
  /** Sets off nothing that would have to settle before the next event. */
  readonly isQuiet: boolean;
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
    const event = this.#plan(delayMs, actor, run, false);
    return () => {
      event.isCancelled = true;
    };
  }

  /** Something of the world that does no more than plan other events: the next one need not wait for it. */
  afterQuiet(delayMs: number, run: () => void): void {
    this.#plan(delayMs, undefined, run, true);
  }

  pause(actor: Actor): void {
    actor.isPaused = true;
  }

  /** What came meanwhile comes now, in order. */
  resume(actor: Actor): void {
    actor.isPaused = false;
    // The same events, so that one of them can still cancel another.
    for (const event of actor.backlog.splice(0)) {
      event.atMs = this.#nowMs;
      this.#push(event);
    }
  }

  /** Runs everything up to then. Ends early once `isOver` says so. */
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

  /** Runs the next event that has to settle, and the quiet ones before it; false: there is none by then. */
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

  /** Four arguments and no object: this is the hottest place of a simulation. */
  #plan(delayMs: number, actor: Actor | undefined, run: () => void, isQuiet: boolean): SimEvent {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const event = { atMs, order: ++this.#order, actor, run, isQuiet, isCancelled: false };
    this.#push(event);
    return event;
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
