import type { Task, TaskState } from "@berth/proto";
import { isPending, isWanted, stateOf } from "../core/task-state.js";
import { Grouped } from "./grouped.js";

/** All tasks, by id, by service and by node. Every change costs the same, however many there are. */
export class TaskTable {
  readonly #byId = new Map<string, Task>();
  readonly #byService = new Grouped<Task>();
  readonly #byNode = new Grouped<Task>();
  readonly #unplaced = new Grouped<Task>();
  readonly #countByState = new Map<TaskState, number>();

  get size(): number {
    return this.#byId.size;
  }

  get(taskId: string): Task | undefined {
    return this.#byId.get(taskId);
  }

  values(): IterableIterator<Task> {
    return this.#byId.values();
  }

  ofService(serviceId: string): ReadonlyMap<string, Task> {
    return this.#byService.get(serviceId);
  }

  ofNode(nodeId: string): ReadonlyMap<string, Task> {
    return this.#byNode.get(nodeId);
  }

  /** Ids of the services that have tasks, whether or not there is such a service. */
  serviceIds(): IterableIterator<string> {
    return this.#byService.groups();
  }

  /** Ids of the services that have tasks which no node has room for. */
  unplacedServices(): IterableIterator<string> {
    return this.#unplaced.groups();
  }

  /** Whether a service has tasks without a node. */
  isUnplaced(serviceId: string): boolean {
    return this.#unplaced.get(serviceId).size > 0;
  }

  countByState(): ReadonlyMap<TaskState, number> {
    return this.#countByState;
  }

  put(task: Task): void {
    this.delete(task.id);
    this.#byId.set(task.id, task);
    this.#byService.set(task.serviceId, task.id, task);
    if (task.nodeId !== "") this.#byNode.set(task.nodeId, task.id, task);
    if (waitsForNode(task)) this.#unplaced.set(task.serviceId, task.id, task);
    this.#count(task, 1);
  }

  delete(taskId: string): void {
    const task = this.#byId.get(taskId);
    if (task === undefined) return;
    this.#byId.delete(taskId);
    this.#byService.delete(task.serviceId, taskId);
    this.#byNode.delete(task.nodeId, taskId);
    this.#unplaced.delete(task.serviceId, taskId);
    this.#count(task, -1);
  }

  #count(task: Task, by: 1 | -1): void {
    const state = stateOf(task);
    this.#countByState.set(state, (this.#countByState.get(state) ?? 0) + by);
  }
}

function waitsForNode(task: Task): boolean {
  return isPending(task) && isWanted(task);
}
