import { DesiredState, type Task } from "@berth/proto";
import {
  completedDrains,
  DRAIN_DEADLINE_MS,
  type Drain,
  lowestVersionInForce,
  nextDeadlineMs,
  nodesToAwait,
  receivesConnections,
} from "../core/endpoints/drain.js";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { currentSpec } from "../state/service-snapshot.js";

/** Answers of many agents come within a few milliseconds of each other: they are counted together. */
const REVIEW_MS = 2;

/** The tables that say where connections go. */
export interface Tables {
  /** Grows with each change of them; from 1. */
  readonly version: number;
  /** What they say of the service is about to be worked out anew. */
  isStale(serviceId: string): boolean;
}

export interface DrainGateOptions {
  readonly state: ClusterState;
  readonly tables: Tables;
  readonly clock: Clock;
  readonly isSuspect: (nodeId: string) => boolean;
  /** The version of the tables that a node has in force, by the word of its agent; 0: it has not said. */
  readonly inForceOn: (nodeId: string) => number;
  /** All agents are to say when they have this version. */
  readonly onWanted: (version: number) => void;
  /** The task's agent may be told that it is to stop. */
  readonly onOpen: (task: Task) => void;
  readonly signal: AbortSignal;
}

/**
 * Holds the order to stop a task back until no host sends it connections any more, for a second at most. Kept in
 * memory alone: a new leader, who cannot know who has which tables, waits anew.
 */
export class DrainGate {
  readonly #options: DrainGateOptions;
  readonly #drains = new Map<string, Drain>();
  #cancelReview: (() => void) | undefined;
  #reviewAtMs = Number.POSITIVE_INFINITY;

  constructor(options: DrainGateOptions) {
    this.#options = options;
    const { state, signal } = options;
    for (const serviceId of state.tasks.serviceIds()) {
      for (const task of state.tasks.ofService(serviceId).values()) this.#consider(task, undefined);
    }
    this.tablesUpdated();
    onAbort(signal, () => this.#cancelReview?.());
  }

  /** The task is to stop, and its agent is not to know yet. */
  holds(taskId: string): boolean {
    return this.#drains.has(taskId);
  }

  /** The tables that agents are asked for; undefined: nobody waits. */
  get wanted(): number | undefined {
    return this.#drains.size === 0 ? undefined : this.#options.tables.version;
  }

  /** To be called before anybody tells agents of the change. */
  onChange({ tasks, nodes, services }: Delta): void {
    for (const { before, after } of tasks.values()) {
      if (after === undefined) this.#drains.delete(before?.id ?? "");
      else this.#consider(after, before);
    }
    if (this.#drains.size === 0) return;
    for (const taskId of this.#drains.keys()) {
      const task = this.#options.state.tasks.get(taskId);
      if (task !== undefined && services.has(task.serviceId) && !this.#isWorthWaiting(task)) this.#open(task);
    }
    if (nodes.size > 0) this.reviewSoon();
  }

  /** Tables have been worked out anew. */
  tablesUpdated(): void {
    const { tables, state, onWanted } = this.#options;
    let isNew = false;
    for (const [taskId, drain] of this.#drains) {
      const serviceId = state.tasks.get(taskId)?.serviceId ?? "";
      if (drain.version !== undefined || tables.isStale(serviceId)) continue;
      this.#drains.set(taskId, { ...drain, version: tables.version });
      isNew = true;
    }
    if (isNew) onWanted(tables.version);
    this.reviewSoon();
  }

  /** Somebody has newer tables, or is not waited for any more. */
  reviewSoon(): void {
    if (this.#drains.size > 0) this.#reviewAt(this.#options.clock.nowMs() + REVIEW_MS);
  }

  #consider(task: Task, before: Task | undefined): void {
    if (task.desiredState < DesiredState.SHUTDOWN) return;
    const isNew = before === undefined || before.desiredState < DesiredState.SHUTDOWN;
    if (!isNew || !this.#isWorthWaiting(task)) return;
    const now = this.#options.clock.nowMs();
    this.#drains.set(task.id, { sinceMs: now, version: undefined });
    this.#reviewAt(now + DRAIN_DEADLINE_MS);
  }

  /** A service that goes as a whole has no other task for its connections. */
  #isWorthWaiting(task: Task): boolean {
    const { services } = this.#options.state;
    const service = services.get(task.serviceId);
    const spec = service && currentSpec(this.#options.state, service);
    return spec !== undefined && service?.removing !== true && receivesConnections(task, spec);
  }

  #open(task: Task): void {
    this.#drains.delete(task.id);
    this.#options.onOpen(task);
  }

  #reviewAt(atMs: number): void {
    if (atMs >= this.#reviewAtMs) return;
    const { clock } = this.#options;
    this.#cancelReview?.();
    this.#reviewAtMs = atMs;
    this.#cancelReview = clock.after(Math.max(0, atMs - clock.nowMs()), () => this.#review());
  }

  #review(): void {
    const { state, clock, isSuspect, inForceOn } = this.#options;
    this.#reviewAtMs = Number.POSITIVE_INFINITY;
    const inForce = lowestVersionInForce(nodesToAwait(state.nodes.values(), isSuspect).map(inForceOn));
    for (const taskId of completedDrains(this.#drains, { inForce, now: clock.nowMs() })) {
      const task = state.tasks.get(taskId);
      if (task === undefined) this.#drains.delete(taskId);
      else this.#open(task);
    }
    const nextMs = nextDeadlineMs(this.#drains);
    if (nextMs !== undefined) this.#reviewAt(nextMs);
  }
}
