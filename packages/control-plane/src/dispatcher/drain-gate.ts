import { DesiredState, type Service, type Task, TaskState } from "@berth/proto";
import {
  completedDrains,
  DRAIN_DEADLINE_MS,
  type Drain,
  lowestAppliedVersion,
  nextDeadlineMs,
  nodesToAwait,
  receivesConnections,
} from "../core/endpoints/drain.js";
import { stateOf } from "../core/model/task-state.js";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { currentSpec } from "../state/service-snapshot.js";

/**
 * Delay of a review after an acknowledgement. Agents acknowledge new tables within a few milliseconds of each other,
 * and one review covers all of them.
 */
const REVIEW_DELAY_MS = 2;

/** The part of the traffic tables that the gate reads. */
export interface VersionedTables {
  /** Starts at 1 and grows with each change of the tables. */
  readonly version: number;
  /** Returns whether a change of the service is missing from the tables, other than additional endpoints. */
  isStale(serviceId: string): boolean;
}

export interface DrainGateOptions {
  readonly state: ClusterState;
  readonly tables: VersionedTables;
  readonly clock: Clock;
  /** Returns whether a node gets no new connections because it does not respond. */
  readonly isSuspect: (nodeId: string) => boolean;
  /** Returns the table version that the node's agent has acknowledged; 0 when it has acknowledged none. */
  readonly getAppliedVersion: (nodeId: string) => number;
  /** Called when all agents have to acknowledge this table version. */
  readonly onAckNeeded: (version: number) => void;
  /** Called when the stop of a task may be sent to its agent. */
  readonly onReleased: (task: Task) => void;
  readonly signal: AbortSignal;
}

/**
 * Delays the stop of a task until every node has stopped sending connections to it, for at most one second.
 *
 * The leader's dispatcher checks the gate before it sends a stop to an agent. Drains exist in memory only: a new leader
 * does not know which tables the agents have, so it starts every drain again.
 */
export class DrainGate {
  readonly #options: DrainGateOptions;
  /** Drains by task ID. */
  readonly #drains = new Map<string, Drain>();
  #cancelReview: (() => void) | undefined;
  #reviewAtMs = Number.POSITIVE_INFINITY;

  constructor(options: DrainGateOptions) {
    this.#options = options;
    const { state, signal } = options;
    for (const serviceId of state.tasks.serviceIds()) {
      for (const task of state.tasks.ofService(serviceId).values()) this.#startDrain(task, undefined);
    }
    this.onTablesUpdated();
    onAbort(signal, () => this.#cancelReview?.());
  }

  /** Returns whether the stop of this task must not be sent yet. */
  isStopHeld(taskId: string): boolean {
    return this.#drains.has(taskId);
  }

  /** The table version that agents have to acknowledge; undefined while no task drains. */
  get awaitedVersion(): number | undefined {
    return this.#drains.size === 0 ? undefined : this.#options.tables.version;
  }

  /** Starts, ends and releases drains. Must be called before any session is notified of the change. */
  onChange({ tasks, nodes, services }: Delta): void {
    for (const [taskId, { before, after }] of tasks) {
      if (after === undefined) {
        this.#drains.delete(taskId);
      } else {
        this.#startDrain(after, before);
      }
    }
    if (this.#drains.size === 0) return;
    for (const taskId of this.#drains.keys()) {
      const task = this.#options.state.tasks.get(taskId);
      if (task !== undefined && services.has(task.serviceId) && this.#isDrainObsolete(task)) {
        this.#release(task);
      }
    }
    if (nodes.size > 0) this.scheduleReview();
  }

  /** Requests acknowledgements for the drains that the new tables contain. Called after each update of the tables. */
  onTablesUpdated(): void {
    const { tables, state, onAckNeeded } = this.#options;
    let isAckNeeded = false;
    for (const [taskId, drain] of this.#drains) {
      const serviceId = state.tasks.get(taskId)?.serviceId ?? "";
      if (drain.version !== undefined || tables.isStale(serviceId)) continue;
      this.#drains.set(taskId, { ...drain, version: tables.version });
      isAckNeeded = true;
    }
    if (isAckNeeded) onAckNeeded(tables.version);
    this.scheduleReview();
  }

  /** Schedules a review of all drains. Called when an agent has applied newer tables. */
  scheduleReview(): void {
    if (this.#drains.size > 0) this.#scheduleReviewAt(this.#options.clock.nowMs() + REVIEW_DELAY_MS);
  }

  #startDrain(task: Task, before: Task | undefined): void {
    if (task.desiredState < DesiredState.SHUTDOWN) return;
    const isNew = before === undefined || before.desiredState < DesiredState.SHUTDOWN;
    if (!isNew || !this.#needsDrain(task)) return;
    const nowMs = this.#options.clock.nowMs();
    this.#drains.set(task.id, { sinceMs: nowMs, version: undefined });
    this.#scheduleReviewAt(nowMs + DRAIN_DEADLINE_MS);
  }

  /**
   * Returns whether nodes may send connections to the task. Uses the spec that the task was started with: connections go
   * to its ports and networks.
   */
  #needsDrain(task: Task): boolean {
    const service = this.#keptService(task);
    if (service === undefined) return false;
    const { state } = this.#options;
    const spec =
      state.services.versions.specOf(task.serviceId, task.specVersion) ?? currentSpec(state, service);
    return spec !== undefined && receivesConnections(task, spec);
  }

  /**
   * Returns whether there is nothing left to wait for: the task has ended, or its service is being removed. A task that
   * merely became unhealthy still drains, because nodes may not have the tables without it yet.
   */
  #isDrainObsolete(task: Task): boolean {
    return stateOf(task) !== TaskState.RUNNING || this.#keptService(task) === undefined;
  }

  /** Returns the task's service unless it is being removed: then no other task can take the connections. */
  #keptService({ serviceId }: Task): Service | undefined {
    const service = this.#options.state.services.get(serviceId);
    return service?.removing ? undefined : service;
  }

  #release(task: Task): void {
    this.#drains.delete(task.id);
    this.#options.onReleased(task);
  }

  #scheduleReviewAt(atMs: number): void {
    if (atMs >= this.#reviewAtMs) return;
    const { clock } = this.#options;
    this.#cancelReview?.();
    this.#reviewAtMs = atMs;
    this.#cancelReview = clock.after(Math.max(0, atMs - clock.nowMs()), () => this.#review());
  }

  #review(): void {
    const { state, clock, isSuspect, getAppliedVersion } = this.#options;
    this.#reviewAtMs = Number.POSITIVE_INFINITY;
    const appliedVersion = lowestAppliedVersion(
      nodesToAwait(state.nodes.values(), isSuspect).map((nodeId) => getAppliedVersion(nodeId)),
    );
    for (const taskId of completedDrains(this.#drains, { appliedVersion, nowMs: clock.nowMs() })) {
      const task = state.tasks.get(taskId);
      if (task === undefined) {
        this.#drains.delete(taskId);
      } else {
        this.#release(task);
      }
    }
    const nextMs = nextDeadlineMs(this.#drains);
    if (nextMs !== undefined) this.#scheduleReviewAt(nextMs);
  }
}
