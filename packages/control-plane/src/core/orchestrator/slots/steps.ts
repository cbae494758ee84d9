import { assertNever, DesiredState, type Task } from "@berth/proto";
import type { Action } from "../../model/plan.js";
import type { Placements, SlotFill } from "../../scheduler/place-tasks.js";
import { type Problem, problemOf } from "../problems.js";
import type { Move } from "../slot-actions.js";
import type { SlotDecision, SlotStep } from "../slot-state.js";
import { dismiss, type GoneTest } from "../task-removal.js";
import type { Wanted } from "./wanted.js";

/** What is to happen in the slots that a service keeps. */
export interface Steps {
  /** By the version of the tasks that are made. */
  readonly seats: ReadonlyMap<number, Placements>;
  readonly departures: readonly Action[];
  /** The tasks that stay where they are, one for each slot that has one. */
  readonly staying: readonly Task[];
  /** Times at which something may be decided that cannot be now. */
  readonly dueMs: readonly number[];
  readonly problems: readonly Problem[];
}

/** Gathers the steps of one slot after the other: most slots of a large service need none, and cost next to nothing. */
export class StepsBuilder {
  readonly #version: number;
  readonly #freshVersion: number;
  readonly #isGone: GoneTest;
  readonly #seats = new Map<number, { readonly pending: Task[]; readonly fills: SlotFill[] }>();
  readonly #departures: Action[] = [];
  readonly #staying: Task[] = [];
  readonly #dueMs: number[] = [];
  readonly #problems: Problem[] = [];

  constructor(options: {
    readonly version: number;
    /** Of tasks in slots that do not exist yet. */
    readonly freshVersion: number;
    readonly isGone: GoneTest;
  }) {
    this.#version = options.version;
    this.#freshVersion = options.freshVersion;
    this.#isGone = options.isGone;
  }

  /** Slots that do not exist yet, and tasks without a node that belong to no slot. */
  addWanted({ fresh, unbound }: Wanted): void {
    const { fills } = this.#seatsOf(this.#freshVersion);
    for (const slot of fresh) fills.push(slot);
    for (const task of unbound) {
      if (task.specVersion === this.#version) this.#seatsOf(this.#version).pending.push(task);
      else this.#stop([task], "its spec has changed");
    }
  }

  add({ slot, step, superfluous }: SlotDecision, move: Move): void {
    this.#stop(superfluous, "another takes its place");
    const atMs = dueOf(step);
    if (atMs !== undefined) this.#dueMs.push(atMs);
    for (const problem of problemOf(slot, step)) this.#problems.push(problem);
    switch (move.kind) {
      case "none":
        return;
      case "stay":
        this.#staying.push(move.task);
        return;
      case "seat":
        this.#seatsOf(move.task.specVersion).pending.push(move.task);
        return;
      case "fill":
        this.#seatsOf(move.version).fills.push(move.fill);
        return;
      case "clear":
        this.#stop(move.tasks, move.reason);
        return;
      default:
        assertNever(move);
    }
  }

  steps(): Steps {
    return {
      seats: this.#seats,
      departures: this.#departures,
      staying: this.#staying,
      dueMs: this.#dueMs,
      problems: this.#problems,
    };
  }

  #stop(tasks: readonly Task[], reason: string): void {
    const how = { desired: DesiredState.SHUTDOWN, reason, isGone: this.#isGone };
    for (const task of tasks) this.#departures.push(...dismiss(task, how));
  }

  /** Tasks of one version are equal to placement. */
  #seatsOf(version: number): { readonly pending: Task[]; readonly fills: SlotFill[] } {
    const known = this.#seats.get(version);
    if (known !== undefined) return known;
    const seats = { pending: [], fills: [] };
    this.#seats.set(version, seats);
    return seats;
  }
}

function dueOf(step: SlotStep): number | undefined {
  if (step.kind === "proving" || step.kind === "wait") return step.atMs;
  return step.kind === "replace" && step.trial.kind === "held" ? step.trial.atMs : undefined;
}
