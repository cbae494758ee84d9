import { Availability, type ClusterView, type Node, type Service, type Task } from "@berth/proto";
import { taskSlotKey } from "../../core/model/slots.js";
import { viewNode } from "../../core/watch/node-view.js";
import { viewService } from "../../core/watch/service-view.js";
import { viewSlots } from "../../core/watch/slot-view.js";
import { type KnownTask, viewTasks } from "../../core/watch/task-view.js";
import { ViewTables } from "../../core/watch/view-tables.js";
import type { Clock } from "../../runtime/clock.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Delta } from "../../state/delta.js";
import { serviceSnapshot } from "../../state/service-snapshot.js";
import { nodeSummary, serviceSummary } from "../summaries.js";

/**
 * Minimum interval between two summaries of a service, per task of the service: the cost of a summary grows with the
 * number of tasks. The views of the tasks themselves are always up to date.
 */
const SUMMARY_INTERVAL_PER_TASK_MS = 40;

/** Longest interval between two summaries of a changing service. */
const MAX_SUMMARY_INTERVAL_MS = 2_000;

/** Interval at which the slots of rollouts are recomputed. They change with time, too. */
export const ROLLOUT_INTERVAL_MS = 1_000;

/** Maximum time for computing views without a pause. A new leader with many records would miss heartbeats otherwise. */
const MAX_SLICE_MS = 10;

export interface ViewBuilderOptions {
  readonly state: ClusterState;
  readonly isSuspect: (nodeId: string) => boolean;
}

/** Keeps the views of nodes, services, tasks and slots equal to the records. Computes only those that can have changed. */
export class ViewBuilder {
  readonly tables = new ViewTables();
  readonly #options: ViewBuilderOptions;
  readonly #staleNodes = new Set<string>();
  readonly #staleServices = new Set<string>();
  /** The tasks in the view, by service. */
  readonly #tasks = new Map<string, Map<string, KnownTask>>();
  /** The records with which the tasks were viewed. A change of one makes all tasks of the service stale. */
  readonly #viewedServices = new Map<string, Service | undefined>();
  /** Keys of the slots whose tasks changed, by service. */
  readonly #staleSlots = new Map<string, Set<string>>();
  /** Time of the last summary, by service. */
  readonly #summarizedMs = new Map<string, number>();
  #viewCluster: (() => ClusterView) | undefined;
  #isClusterStale = true;
  #rolloutsMarkedMs = 0;

  constructor(options: ViewBuilderOptions) {
    this.#options = options;
    const { nodes, services, tasks } = options.state;
    for (const { id } of nodes.values()) this.#staleNodes.add(id);
    for (const { id } of services.values()) this.#staleServices.add(id);
    for (const id of tasks.serviceIds()) this.#staleServices.add(id);
  }

  get hasStaleViews(): boolean {
    return this.#isClusterStale || this.#staleNodes.size + this.#staleServices.size > 0;
  }

  /** Sets the function that returns the view of the cluster itself. */
  setClusterSource(viewCluster: () => ClusterView): void {
    this.#viewCluster = viewCluster;
  }

  markClusterStale(): void {
    this.#isClusterStale = true;
  }

  markNodeStale(nodeId: string): void {
    this.#staleNodes.add(nodeId);
  }

  /** Marks services with rollouts once a second, because their slots also change with time. */
  markRolloutsStale(nowMs: number): void {
    if (Math.abs(nowMs - this.#rolloutsMarkedMs) < ROLLOUT_INTERVAL_MS) return;
    this.#rolloutsMarkedMs = nowMs;
    for (const key of this.tables.slots.keys()) this.#staleServices.add(key.slice(0, key.indexOf("/")));
  }

  /** Marks the views that depend on the changed records. */
  markChanged({ nodes, services, tasks }: Delta): void {
    const { state } = this.#options;
    for (const id of services) this.#staleServices.add(id);
    for (const { before, after } of tasks.values()) {
      for (const task of [before, after]) {
        if (task !== undefined) this.#markTaskStale(task);
      }
    }
    for (const [nodeId, { before, after }] of nodes) {
      this.#staleNodes.add(nodeId);
      if (!affectsServices(before, after)) continue;
      for (const { serviceId } of state.tasks.ofNode(nodeId).values()) this.#staleServices.add(serviceId);
      for (const id of state.services.globalServiceIds()) this.#staleServices.add(id);
    }
  }

  #markTaskStale(task: Task): void {
    // The tasks of a node determine its reserved resources.
    if (task.nodeId !== "") this.#staleNodes.add(task.nodeId);
    const slots = this.#staleSlots.get(task.serviceId);
    if (slots === undefined) {
      this.#staleSlots.set(task.serviceId, new Set([taskSlotKey(task)]));
    } else {
      slots.add(taskSlotKey(task));
    }
  }

  /** Updates stale views for a short time. Returns whether all views are up to date, or have to wait. */
  updateSlice(clock: Clock, nowMs: number): boolean {
    const startedMs = clock.nowMs();
    const isOver = (): boolean => clock.nowMs() - startedMs >= MAX_SLICE_MS;
    if (this.#isClusterStale && this.#viewCluster !== undefined) {
      this.#isClusterStale = false;
      this.tables.setCluster(this.#viewCluster());
    }
    for (const nodeId of this.#staleNodes) {
      if (isOver()) return false;
      this.#staleNodes.delete(nodeId);
      this.#updateNode(nodeId);
    }
    for (const serviceId of [...this.#staleServices]) {
      if (isOver()) return false;
      this.#staleServices.delete(serviceId);
      this.#updateService(serviceId, nowMs);
    }
    return true;
  }

  #updateNode(nodeId: string): void {
    const { state, isSuspect } = this.#options;
    const node = state.nodes.get(nodeId);
    if (node === undefined) {
      this.tables.nodes.delete(nodeId);
      return;
    }
    const { reserved, tasks, problems } = nodeSummary(state, node);
    const { nanoCpus = 0, memoryBytes = 0 } = reserved ?? {};
    const details = { isSuspect: isSuspect(nodeId), reserved: { nanoCpus, memoryBytes }, tasks, problems };
    this.tables.nodes.put(nodeId, viewNode(node, details));
  }

  #updateService(serviceId: string, nowMs: number): void {
    this.#updateTasks(serviceId);
    const { state } = this.#options;
    const snapshot = serviceSnapshot(state, serviceId);
    if (snapshot === undefined) {
      this.tables.services.delete(serviceId);
      this.#summarizedMs.delete(serviceId);
      this.#replaceSlots(serviceId, new Set());
      return;
    }
    if (this.#mustWait(serviceId, nowMs)) {
      this.#staleServices.add(serviceId);
      return;
    }
    const { service, spec } = snapshot;
    this.tables.services.put(serviceId, viewService(service, spec, serviceSummary(state, service, nowMs)));
    const slots = viewSlots(snapshot, state.nodes, nowMs);
    for (const slot of slots) this.tables.slots.put(slot.key, slot);
    this.#replaceSlots(serviceId, new Set(slots.map(({ key }) => key)));
  }

  /** Returns whether the summary of a service was computed too recently. */
  #mustWait(serviceId: string, nowMs: number): boolean {
    const tasks = this.#tasks.get(serviceId)?.size ?? 0;
    const intervalMs = Math.min(tasks * SUMMARY_INTERVAL_PER_TASK_MS, MAX_SUMMARY_INTERVAL_MS);
    const elapsedMs = nowMs - (this.#summarizedMs.get(serviceId) ?? 0);
    if (elapsedMs >= 0 && elapsedMs < intervalMs) return true;
    this.#summarizedMs.set(serviceId, nowMs);
    return false;
  }

  /** Updates the tasks of the slots that changed, or all tasks when the service itself has changed. */
  #updateTasks(serviceId: string): void {
    const { state } = this.#options;
    const service = state.services.get(serviceId);
    const staleSlots = this.#staleSlots.get(serviceId);
    this.#staleSlots.delete(serviceId);
    const isSame = this.#viewedServices.has(serviceId) && this.#viewedServices.get(serviceId) === service;
    if (isSame && staleSlots === undefined) return;
    const known = this.#tasks.get(serviceId) ?? new Map<string, KnownTask>();
    const isStale = (task: Task): boolean => !isSame || staleSlots?.has(taskSlotKey(task)) === true;
    const source = {
      service,
      tasks: [...state.tasks.ofService(serviceId).values()].filter(isStale),
      isDrained: (nodeId: string) => state.nodes.get(nodeId)?.availability === Availability.DRAIN,
    };
    const current = viewTasks(source, known);
    for (const [id, { record }] of known) {
      if (current.has(id) || !isStale(record)) continue;
      known.delete(id);
      this.tables.tasks.delete(id);
    }
    for (const [id, task] of current) {
      known.set(id, task);
      this.tables.tasks.put(id, task.view);
    }
    if (service === undefined && known.size === 0) {
      this.#tasks.delete(serviceId);
      this.#viewedServices.delete(serviceId);
    } else {
      this.#tasks.set(serviceId, known);
      this.#viewedServices.set(serviceId, service);
    }
  }

  /** Removes the slots of a service that have no view any more. */
  #replaceSlots(serviceId: string, keys: ReadonlySet<string>): void {
    if (this.tables.slots.size === 0) return;
    const prefix = `${serviceId}/`;
    for (const key of [...this.tables.slots.keys()]) {
      if (key.startsWith(prefix) && !keys.has(key)) this.tables.slots.delete(key);
    }
  }
}

/** Returns whether a change of a node can change the progress of services. */
function affectsServices(before: Node | undefined, after: Node | undefined): boolean {
  return (
    before?.state !== after?.state ||
    before?.availability !== after?.availability ||
    before?.fenced !== after?.fenced ||
    before?.awaitsApproval !== after?.awaitsApproval ||
    before?.labels !== after?.labels
  );
}
