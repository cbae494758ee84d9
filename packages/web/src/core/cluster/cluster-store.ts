import type { ControlPlane } from "../model/control-plane.js";
import type { Node } from "../model/node.js";
import type { Service } from "../model/service.js";
import type { Slot } from "../model/slot.js";
import type { Task } from "../model/task.js";
import type { ClusterUpdate, Position } from "./cluster-update.js";

/** A task that was placed on a different node from the task that it replaces. */
export interface TaskMove {
  readonly taskId: string;
  readonly replacedTaskId: string;
  readonly fromNodeId: string;
  readonly toNodeId: string;
}

/** The IDs of the records that an update has set or removed. */
export interface ChangedIds {
  readonly nodes: ReadonlySet<string>;
  readonly tasks: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
  readonly moves: readonly TaskMove[];
}

export type ApplyResult =
  | { readonly kind: "applied"; readonly changed: ChangedIds }
  /** A part of a snapshot. It is applied with the last part. */
  | { readonly kind: "incomplete" }
  /** The web UI has this update already. */
  | { readonly kind: "duplicate" }
  /** Updates are missing before this one: the web UI needs a snapshot. */
  | { readonly kind: "gap" };

/** Maximum number of parts of a snapshot. Each part has many records. */
const MAX_PARTS = 1_000;
const NO_TASKS: ReadonlySet<string> = new Set();

/** The web UI's copy of the cluster's records, updated from the server's stream. */
export class ClusterStore {
  readonly #nodes = new Map<string, Node>();
  readonly #tasks = new Map<string, Task>();
  readonly #services = new Map<string, Service>();
  readonly #slots = new Map<string, Slot>();
  readonly #tasksByNode = new Map<string, Set<string>>();
  #controlPlane: ControlPlane | undefined;
  #position: Position | undefined;
  /** Parts of a snapshot that is not complete yet. */
  #parts: ClusterUpdate[] = [];
  /** Names of the services in these parts. */
  #partNames: ReadonlyMap<string, string> = new Map();

  get nodes(): ReadonlyMap<string, Node> {
    return this.#nodes;
  }

  get tasks(): ReadonlyMap<string, Task> {
    return this.#tasks;
  }

  get services(): ReadonlyMap<string, Service> {
    return this.#services;
  }

  get slots(): ReadonlyMap<string, Slot> {
    return this.#slots;
  }

  get controlPlane(): ControlPlane | undefined {
    return this.#controlPlane;
  }

  /** Undefined before the first snapshot. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** Returns the name of a service, even if it is only in an incomplete snapshot. */
  serviceName(id: string): string {
    return this.#partNames.get(id) ?? this.#services.get(id)?.name ?? id;
  }

  /** IDs of the tasks on a node. */
  tasksOnNode(nodeId: string): ReadonlySet<string> {
    return this.#tasksByNode.get(nodeId) ?? NO_TASKS;
  }

  /** Applies an update. A snapshot takes effect with its last part. */
  apply(update: ClusterUpdate): ApplyResult {
    if (update.isSnapshot || this.#parts.length > 0) return this.#addPart(update);
    const { position } = update;
    const current = this.#position;
    if (position === undefined || current === undefined || position.epoch !== current.epoch) {
      return { kind: "gap" };
    }
    if (position.sequence <= current.sequence) return { kind: "duplicate" };
    if (position.sequence !== current.sequence + 1) return { kind: "gap" };
    return { kind: "applied", changed: this.#set([update], position) };
  }

  /** Drops the parts of a snapshot that was interrupted. */
  dropParts(): void {
    this.#parts = [];
    this.#partNames = new Map();
  }

  /** Sets records without a stream, for a view of the past. */
  setRecords(nodes: Iterable<Node>, tasks: Iterable<Task>): void {
    for (const node of nodes) this.#nodes.set(node.id, node);
    for (const task of tasks) this.#setTask(task);
  }

  #addPart(update: ClusterUpdate): ApplyResult {
    if (update.isSnapshot) this.dropParts();
    this.#parts.push(update);
    if (update.services.length > 0) {
      this.#partNames = new Map([...this.#partNames, ...update.services.map(nameEntry)]);
    }
    if (update.hasMore) return this.#parts.length < MAX_PARTS ? { kind: "incomplete" } : { kind: "gap" };
    const parts = this.#parts;
    this.dropParts();
    return update.position === undefined
      ? { kind: "gap" }
      : { kind: "applied", changed: this.#replaceAll(parts, update.position) };
  }

  #replaceAll(parts: readonly ClusterUpdate[], position: Position): ChangedIds {
    const isFirst = this.#position === undefined;
    const nodes = new Set(parts.flatMap((part) => part.nodes.map(({ id }) => id)));
    const tasks = new Set(parts.flatMap((part) => part.tasks.map(({ id }) => id)));
    const services = new Set(parts.flatMap((part) => part.services.map(({ id }) => id)));
    const removed: ClusterUpdate = {
      ...EMPTY_UPDATE,
      removedNodes: [...this.#nodes.keys()].filter((id) => !nodes.has(id)),
      removedTasks: [...this.#tasks.keys()].filter((id) => !tasks.has(id)),
      removedServices: [...this.#services.keys()].filter((id) => !services.has(id)),
      removedSlots: [...this.#slots.keys()],
    };
    const changed = this.#set([removed, ...parts], position);
    return isFirst ? { ...changed, moves: [] } : changed;
  }

  #set(updates: readonly ClusterUpdate[], position: Position): ChangedIds {
    const changed = { nodes: new Set<string>(), tasks: new Set<string>(), services: new Set<string>() };
    const moves: TaskMove[] = [];
    for (const update of updates) {
      setAll(this.#nodes, update.nodes, update.removedNodes, changed.nodes);
      setAll(this.#services, update.services, update.removedServices, changed.services);
      for (const key of update.removedSlots) {
        const slot = this.#slots.get(key);
        this.#slots.delete(key);
        if (slot !== undefined) changed.services.add(slot.serviceId);
      }
      for (const slot of update.slots) {
        this.#slots.set(slot.key, slot);
        changed.services.add(slot.serviceId);
      }
      for (const task of update.tasks) {
        const move = findMove(this.#tasks.get(task.id), task);
        if (move !== undefined) moves.push(move);
        this.#setTask(task);
        changed.tasks.add(task.id);
      }
      for (const id of update.removedTasks) {
        this.#removeTask(id);
        changed.tasks.add(id);
      }
      this.#controlPlane = update.controlPlane ?? this.#controlPlane;
    }
    this.#position = position;
    return { ...changed, moves };
  }

  #setTask(task: Task): void {
    this.#removeTask(task.id);
    this.#tasks.set(task.id, task);
    const onNode = this.#tasksByNode.get(task.nodeId);
    if (onNode === undefined) this.#tasksByNode.set(task.nodeId, new Set([task.id]));
    else onNode.add(task.id);
  }

  #removeTask(id: string): void {
    const nodeId = this.#tasks.get(id)?.nodeId;
    if (nodeId === undefined) return;
    this.#tasks.delete(id);
    const onNode = this.#tasksByNode.get(nodeId);
    onNode?.delete(id);
    if (onNode?.size === 0) this.#tasksByNode.delete(nodeId);
  }
}

const EMPTY_UPDATE: ClusterUpdate = {
  position: undefined,
  isSnapshot: false,
  hasMore: false,
  nowMs: 0,
  controlPlane: undefined,
  nodes: [],
  removedNodes: [],
  services: [],
  removedServices: [],
  tasks: [],
  removedTasks: [],
  slots: [],
  removedSlots: [],
  events: [],
  areEventsMissing: false,
};

function nameEntry({ id, name }: Service): readonly [string, string] {
  return [id, name];
}

function setAll<T extends { readonly id: string }>(
  records: Map<string, T>,
  updated: readonly T[],
  removed: readonly string[],
  changed: Set<string>,
): void {
  for (const record of updated) {
    records.set(record.id, record);
    changed.add(record.id);
  }
  for (const id of removed) {
    records.delete(id);
    changed.add(id);
  }
}

/** Returns the move of a task that was just assigned a node. */
function findMove(before: Task | undefined, { id, nodeId, replaces }: Task): TaskMove | undefined {
  if (replaces === undefined || nodeId === "" || (before !== undefined && before.nodeId !== "")) {
    return undefined;
  }
  if (replaces.nodeId === "" || replaces.nodeId === nodeId) return undefined;
  return { taskId: id, replacedTaskId: replaces.taskId, fromNodeId: replaces.nodeId, toNodeId: nodeId };
}
