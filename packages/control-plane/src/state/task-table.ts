import type { Task, TaskState } from "@berth/proto";
import { TaskIndex } from "../core/model/task-index.js";
import { isPending, shouldRun, stateOf } from "../core/model/task-state.js";
import { GroupedMap } from "./grouped-map.js";

const NO_TASKS = new TaskIndex();

/** The tasks in the leader's memory, indexed by ID, service and node. A change takes constant time. */
export class TaskTable {
  readonly #byId = new Map<string, Task>();
  readonly #byService = new Map<string, TaskIndex>();
  readonly #byNode = new GroupedMap<Task>();
  readonly #unplaced = new GroupedMap<Task>();
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
    return this.taskIndex(serviceId).byId;
  }

  /** Returns the live index of a service's tasks. Do not keep it across an await. */
  taskIndex(serviceId: string): TaskIndex {
    return this.#byService.get(serviceId) ?? NO_TASKS;
  }

  ofNode(nodeId: string): ReadonlyMap<string, Task> {
    return this.#byNode.get(nodeId);
  }

  /** Returns the IDs of all services that have tasks, including removed services. */
  serviceIds(): IterableIterator<string> {
    return this.#byService.keys();
  }

  /** Returns the IDs of the services that have tasks without a node. */
  unplacedServices(): IterableIterator<string> {
    return this.#unplaced.groups();
  }

  /** Returns whether a service has tasks without a node. */
  hasUnplaced(serviceId: string): boolean {
    return this.#unplaced.get(serviceId).size > 0;
  }

  /** Returns the number of tasks in each state. */
  countByState(): ReadonlyMap<TaskState, number> {
    return this.#countByState;
  }

  put(task: Task): void {
    this.delete(task.id);
    this.#byId.set(task.id, task);
    this.#addToService(task);
    if (task.nodeId !== "") this.#byNode.set(task.nodeId, task.id, task);
    if (waitsForNode(task)) this.#unplaced.set(task.serviceId, task.id, task);
    this.#addToCount(task, 1);
  }

  delete(taskId: string): void {
    const task = this.#byId.get(taskId);
    if (task === undefined) return;
    this.#byId.delete(taskId);
    this.#removeFromService(task);
    this.#byNode.delete(task.nodeId, taskId);
    this.#unplaced.delete(task.serviceId, taskId);
    this.#addToCount(task, -1);
  }

  #addToService(task: Task): void {
    const index = this.#byService.get(task.serviceId);
    if (index === undefined) {
      this.#byService.set(task.serviceId, TaskIndex.of([task]));
    } else {
      index.put(task);
    }
  }

  #removeFromService({ serviceId, id }: Task): void {
    const index = this.#byService.get(serviceId);
    index?.delete(id);
    if (index?.byId.size === 0) this.#byService.delete(serviceId);
  }

  #addToCount(task: Task, sign: 1 | -1): void {
    const state = stateOf(task);
    this.#countByState.set(state, (this.#countByState.get(state) ?? 0) + sign);
  }
}

function waitsForNode(task: Task): boolean {
  return isPending(task) && shouldRun(task);
}
