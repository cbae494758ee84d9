import {
  type AssignedSpec,
  type AssignedTask,
  Assignments,
  DesiredState,
  type IngressEntry,
  Assignments_Kind as Kind,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import { isEnded, stateOf } from "../../core/model/task-state.js";
import { NetworkFeed, type NetworkSource } from "./network-feed.js";

/** What an increment says of what has not changed. */
const NOTHING = Assignments.fromPartial({});

/** Where a chain looks up what is true now. */
export interface AssignmentSource extends NetworkSource {
  /** All tasks of the node. */
  tasks(): Iterable<Task>;
  task(taskId: string): Task | undefined;
  spec(serviceId: string, version: number): ServiceSpec | undefined;
  /** The whole ingress table. */
  ingress(): Iterable<IngressEntry>;
  ingressEntry(key: string): IngressEntry | undefined;
  /** The task is to stop, and its agent is not to be told yet: hosts may still send it connections. */
  isHeld(taskId: string): boolean;
}

/**
 * What one agent has been told, and what of it is out of date. It keeps no messages: however slow the agent is, what
 * waits for it is a set of names, and the next increment is made when the agent has room for it.
 */
export class AssignmentFeed {
  readonly #nodeId: string;
  readonly #source: AssignmentSource;
  readonly #sentTasks = new Map<string, AssignedTask>();
  /** How many sent tasks name a spec: the agent forgets a spec with the last of them, and so do we. */
  readonly #specUses = new Map<string, number>();
  readonly #staleTasks = new Set<string>();
  readonly #staleIngress = new Set<string>();
  readonly #networks: NetworkFeed;
  #sequence = 0;

  constructor(nodeId: string, source: AssignmentSource) {
    this.#nodeId = nodeId;
    this.#source = source;
    this.#networks = new NetworkFeed(source);
  }

  /** True when there is something to tell. */
  get isStale(): boolean {
    const isStale = this.#staleTasks.size > 0 || this.#staleIngress.size > 0 || this.#networks.isStale;
    return this.#sequence === 0 || isStale;
  }

  /** True when where connections go is out of date. */
  get isTrafficStale(): boolean {
    return this.#staleIngress.size > 0 || this.#networks.isTrafficStale;
  }

  taskChanged(taskId: string): void {
    this.#staleTasks.add(taskId);
  }

  ingressChanged(key: string): void {
    this.#staleIngress.add(key);
  }

  networkChanged(networkId: string): void {
    this.#networks.networkChanged(networkId);
  }

  dnsEntryChanged(key: string): void {
    this.#networks.dnsEntryChanged(key);
  }

  /**
   * The complete set the first time, then what changed since; undefined when that turns out to be nothing, unless an
   * answer is wanted.
   */
  next(ackRequested = false): Assignments | undefined {
    return this.#sequence === 0 ? this.#complete(ackRequested) : this.#increment(ackRequested);
  }

  #complete(ackRequested: boolean): Assignments {
    this.#staleTasks.clear();
    this.#staleIngress.clear();
    const tasks: AssignedTask[] = [];
    const specs: AssignedSpec[] = [];
    for (const task of this.#source.tasks()) this.#tell(task, tasks, specs);
    const ingress = [...this.#source.ingress()];
    return this.#message(Kind.COMPLETE, { specs, tasks, ingress, ...this.#networks.news(), ackRequested });
  }

  #increment(ackRequested: boolean): Assignments | undefined {
    const tasks: AssignedTask[] = [];
    const specs: AssignedSpec[] = [];
    const removedTaskIds: string[] = [];
    const gone: string[] = [];
    for (const taskId of this.#staleTasks) {
      const task = this.#source.task(taskId);
      if (task !== undefined && this.#isAssigned(task)) this.#tell(task, tasks, specs);
      else gone.push(taskId);
    }
    // After the tasks, as the agent does it: a spec whose last task goes while another comes is kept by both.
    for (const taskId of gone) if (this.#forget(taskId)) removedTaskIds.push(taskId);
    this.#staleTasks.clear();
    const ingress: IngressEntry[] = [];
    const removedIngressKeys: string[] = [];
    for (const key of this.#staleIngress) {
      const entry = this.#source.ingressEntry(key);
      if (entry === undefined) removedIngressKeys.push(key);
      else ingress.push(entry);
    }
    this.#staleIngress.clear();
    const news = { tasks, removedTaskIds, ingress, removedIngressKeys, ...this.#networks.news() };
    if (!ackRequested && Object.values(news).every((list) => list.length === 0)) return undefined;
    return this.#message(Kind.INCREMENTAL, { specs, ...news, ackRequested });
  }

  #message(kind: Kind, content: Partial<Assignments>): Assignments {
    const appliesTo = this.#sequence;
    this.#sequence += 1;
    return { ...NOTHING, ...content, kind, appliesTo, resultsIn: this.#sequence };
  }

  #isAssigned(task: Task): boolean {
    return task.nodeId === this.#nodeId && stateOf(task) !== TaskState.LOST;
  }

  #tell(task: Task, tasks: AssignedTask[], specs: AssignedSpec[]): void {
    if (!this.#isAssigned(task)) return;
    const spec = this.#source.spec(task.serviceId, task.specVersion);
    const isHeld = this.#source.isHeld(task.id);
    const assigned = assignedTask(task, { atMostOne: spec?.atMostOne ?? false, isHeld });
    const sent = this.#sentTasks.get(task.id);
    if (sent?.desiredState === assigned.desiredState) return;
    this.#sentTasks.set(task.id, assigned);
    tasks.push(assigned);
    if (sent !== undefined) return;
    this.#networks.taskSent(task.id, spec);
    const key = specKey(assigned);
    const uses = this.#specUses.get(key) ?? 0;
    this.#specUses.set(key, uses + 1);
    if (uses > 0) return;
    const { serviceId, specVersion: version } = task;
    // Without a readable spec nothing new can be started, but what runs by it is known and left alone.
    specs.push({ serviceId, version, task: spec?.task, ports: spec?.ports ?? [] });
  }

  #forget(taskId: string): boolean {
    const sent = this.#sentTasks.get(taskId);
    if (sent === undefined) return false;
    this.#sentTasks.delete(taskId);
    this.#networks.taskForgotten(taskId);
    const key = specKey(sent);
    const uses = (this.#specUses.get(key) ?? 1) - 1;
    if (uses === 0) this.#specUses.delete(key);
    else this.#specUses.set(key, uses);
    return true;
  }
}

function assignedTask(
  task: Task,
  { atMostOne, isHeld }: { readonly atMostOne: boolean; readonly isHeld: boolean },
): AssignedTask {
  const { id, serviceId, serviceName, stack, slot, specVersion } = task;
  return {
    id,
    serviceId,
    serviceName,
    stack,
    slot,
    specVersion,
    desiredState: desiredFor(task, isHeld),
    atMostOne,
  };
}

function desiredFor(task: Task, isHeld: boolean): DesiredState {
  if (isHeld) return DesiredState.RUNNING;
  // What has ended is never started again: only its container is kept, for its logs.
  const isOver = isEnded(task) && task.desiredState < DesiredState.SHUTDOWN;
  return isOver ? DesiredState.SHUTDOWN : task.desiredState;
}

function specKey(task: AssignedTask): string {
  return `${task.serviceId}/${task.specVersion}`;
}
