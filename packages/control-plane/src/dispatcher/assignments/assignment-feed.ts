import {
  type AssignedSpec,
  type AssignedTask,
  Assignments,
  DesiredState,
  type IngressEntry,
  Assignments_Kind as Kind,
  type Policy,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import { isEnded, stateOf } from "../../core/model/task-state.js";
import { FileFeed, type FileSource } from "./file-feed.js";
import { LoginFeed, type LoginSource } from "./login-feed.js";
import { NetworkFeed, type NetworkSource } from "./network-feed.js";

const EMPTY_ASSIGNMENTS = Assignments.fromPartial({});

/** The current records from which assignments are built. */
export interface AssignmentSource extends NetworkSource, FileSource, LoginSource {
  /** Returns all tasks of the node. */
  tasks(): Iterable<Task>;
  task(taskId: string): Task | undefined;
  spec(serviceId: string, version: number): ServiceSpec | undefined;
  /** Returns the whole ingress table. */
  ingressEntries(): Iterable<IngressEntry>;
  ingressEntry(key: string): IngressEntry | undefined;
  policy(): Policy;
  /** Returns whether agents keep containers of unknown tasks. */
  keepsUnknownTasks(): boolean;
  /** Returns whether the drain gate delays the stop of this task. */
  isStopHeld(taskId: string): boolean;
}

/**
 * Builds the assignments that a session sends to its agent: a complete set first, then increments.
 *
 * Between two messages, the feed keeps only the keys of changed records, so a slow agent costs no memory.
 */
export class AssignmentFeed {
  readonly #nodeId: string;
  readonly #source: AssignmentSource;
  readonly #sentTasks = new Map<string, AssignedTask>();
  /** Number of sent tasks by spec. The agent drops a spec together with its last task, and so does the feed. */
  readonly #specUses = new Map<string, number>();
  readonly #staleTasks = new Set<string>();
  readonly #staleIngress = new Set<string>();
  readonly #networks: NetworkFeed;
  readonly #files: FileFeed;
  readonly #logins: LoginFeed;
  #isPolicyStale = false;
  /** The value in the last message. */
  #keepsUnknownTasks = false;
  #sequence = 0;

  constructor(nodeId: string, source: AssignmentSource) {
    this.#nodeId = nodeId;
    this.#source = source;
    this.#networks = new NetworkFeed(source);
    this.#files = new FileFeed(source);
    this.#logins = new LoginFeed(source);
  }

  /** Whether the agent's assignments are out of date. */
  get isStale(): boolean {
    const isStale = this.#staleTasks.size > 0 || this.#staleIngress.size > 0 || this.#networks.isStale;
    const areSecretsStale = this.#files.isStale || this.#logins.isStale;
    const areFlagsStale = this.#isPolicyStale || this.#isKeepingStale;
    return this.#sequence === 0 || isStale || areSecretsStale || areFlagsStale;
  }

  get #isKeepingStale(): boolean {
    return this.#keepsUnknownTasks !== this.#source.keepsUnknownTasks();
  }

  /** Whether the agent's traffic tables, ingress or DNS, are out of date. */
  get isTrafficStale(): boolean {
    return this.#staleIngress.size > 0 || this.#networks.isDnsTableStale;
  }

  markTaskStale(taskId: string): void {
    this.#staleTasks.add(taskId);
  }

  markIngressStale(key: string): void {
    this.#staleIngress.add(key);
  }

  markNetworkStale(networkId: string): void {
    this.#networks.markNetworkStale(networkId);
  }

  markDnsEntryStale(key: string): void {
    this.#networks.markDnsEntryStale(key);
  }

  /** Marks a registry login, see `loginKey`. */
  markRegistryLoginStale(key: string): void {
    this.#logins.markStale(key);
  }

  markPolicyStale(): void {
    this.#isPolicyStale = true;
  }

  /**
   * Returns the complete set on the first call, and the changes since the last call afterwards, or undefined if nothing
   * has changed and no acknowledgement is requested.
   */
  takeMessage(ackRequested = false): Assignments | undefined {
    return this.#sequence === 0 ? this.#takeCompleteSet(ackRequested) : this.#takeIncrement(ackRequested);
  }

  #takeCompleteSet(ackRequested: boolean): Assignments {
    this.#staleTasks.clear();
    this.#staleIngress.clear();
    const tasks: AssignedTask[] = [];
    const specs: AssignedSpec[] = [];
    for (const task of this.#source.tasks()) this.#addTask(task, tasks, specs);
    const ingress = [...this.#source.ingressEntries()];
    return this.#message(Kind.COMPLETE, {
      specs,
      tasks,
      ingress,
      ...this.#networks.takeChanges(),
      ...this.#files.takeChanges(),
      ...this.#logins.takeChanges(),
      ackRequested,
      policy: this.#takePolicy(),
      ...this.#takeKeeping(),
    });
  }

  #takeIncrement(ackRequested: boolean): Assignments | undefined {
    const tasks: AssignedTask[] = [];
    const specs: AssignedSpec[] = [];
    const removedTaskIds: string[] = [];
    const unassignedTaskIds: string[] = [];
    for (const taskId of this.#staleTasks) {
      const task = this.#source.task(taskId);
      if (task !== undefined && this.#isAssigned(task)) {
        this.#addTask(task, tasks, specs);
      } else {
        unassignedTaskIds.push(taskId);
      }
    }
    // Removals come last, as in the agent: a spec is kept when one of its tasks is removed and another is added.
    for (const taskId of unassignedTaskIds) {
      if (this.#removeTask(taskId)) removedTaskIds.push(taskId);
    }
    this.#staleTasks.clear();
    const ingress: IngressEntry[] = [];
    const removedIngressKeys: string[] = [];
    for (const key of this.#staleIngress) {
      const entry = this.#source.ingressEntry(key);
      if (entry === undefined) {
        removedIngressKeys.push(key);
      } else {
        ingress.push(entry);
      }
    }
    this.#staleIngress.clear();
    const changes = {
      tasks,
      removedTaskIds,
      ingress,
      removedIngressKeys,
      ...this.#networks.takeChanges(),
      ...this.#files.takeChanges(),
      ...this.#logins.takeChanges(),
    };
    const hasChanges =
      this.#isPolicyStale || this.#isKeepingStale || Object.values(changes).some((list) => list.length > 0);
    if (!ackRequested && !hasChanges) return undefined;
    const policy = this.#isPolicyStale ? { policy: this.#takePolicy() } : {};
    return this.#message(Kind.INCREMENTAL, {
      specs,
      ...changes,
      ackRequested,
      ...policy,
      ...this.#takeKeeping(),
    });
  }

  #takePolicy(): Policy {
    this.#isPolicyStale = false;
    return this.#source.policy();
  }

  /** Returns whether agents keep unknown tasks, if that has changed. */
  #takeKeeping(): Pick<Assignments, "keepUnknownTasks"> {
    if (!this.#isKeepingStale) return {};
    this.#keepsUnknownTasks = !this.#keepsUnknownTasks;
    return { keepUnknownTasks: this.#keepsUnknownTasks };
  }

  #message(kind: Kind, content: Partial<Assignments>): Assignments {
    const appliesTo = this.#sequence;
    this.#sequence += 1;
    return { ...EMPTY_ASSIGNMENTS, ...content, kind, appliesTo, resultsIn: this.#sequence };
  }

  #isAssigned(task: Task): boolean {
    return task.nodeId === this.#nodeId && stateOf(task) !== TaskState.LOST;
  }

  /** Appends the task to `tasks` unless the agent has it already, and its spec to `specs` when it is the first task of it. */
  #addTask(task: Task, tasks: AssignedTask[], specs: AssignedSpec[]): void {
    if (!this.#isAssigned(task)) return;
    const spec = this.#source.spec(task.serviceId, task.specVersion);
    const desiredState = desiredStateFor(task, this.#source.isStopHeld(task.id));
    if (isEnded(task)) {
      this.#removeSecrets(task.id);
    } else if (desiredState <= DesiredState.RUNNING) {
      this.#files.addTask(task.id, spec);
      this.#logins.addTask(task.id, { stack: task.stack, spec });
    }
    const sent = this.#sentTasks.get(task.id);
    if (sent?.desiredState === desiredState) return;
    const assigned = toAssignedTask(task, { atMostOne: spec?.atMostOne ?? false, desiredState });
    this.#sentTasks.set(task.id, assigned);
    tasks.push(assigned);
    if (sent !== undefined) return;
    this.#networks.addTask(task.id, spec);
    if (!this.#retainSpec(assigned)) return;
    const { serviceId, specVersion: version } = task;
    // Without a readable spec, the agent starts no container for the task and keeps a running one.
    specs.push({ serviceId, version, task: spec?.task, ports: spec?.ports ?? [] });
  }

  /** Removes a task. Returns false when it was never sent. */
  #removeTask(taskId: string): boolean {
    const sent = this.#sentTasks.get(taskId);
    if (sent === undefined) return false;
    this.#sentTasks.delete(taskId);
    this.#networks.removeTask(taskId);
    this.#removeSecrets(taskId);
    this.#releaseSpec(sent);
    return true;
  }

  #removeSecrets(taskId: string): void {
    this.#files.removeTask(taskId);
    this.#logins.removeTask(taskId);
  }

  /** Counts one more task of a spec. Returns whether it is the first. */
  #retainSpec(task: AssignedTask): boolean {
    const key = specKey(task);
    const uses = this.#specUses.get(key) ?? 0;
    this.#specUses.set(key, uses + 1);
    return uses === 0;
  }

  #releaseSpec(task: AssignedTask): void {
    const key = specKey(task);
    const uses = (this.#specUses.get(key) ?? 1) - 1;
    if (uses === 0) {
      this.#specUses.delete(key);
    } else {
      this.#specUses.set(key, uses);
    }
  }
}

function toAssignedTask(
  task: Task,
  { atMostOne, desiredState }: Pick<AssignedTask, "atMostOne" | "desiredState">,
): AssignedTask {
  const { id, serviceId, serviceName, stack, slot, specVersion, status, owners } = task;
  const containerId = status?.containerId ?? "";
  return {
    id,
    serviceId,
    serviceName,
    stack,
    slot,
    specVersion,
    desiredState,
    atMostOne,
    containerId,
    owners,
  };
}

function desiredStateFor(task: Task, isStopHeld: boolean): DesiredState {
  if (isStopHeld) return DesiredState.RUNNING;
  // A task that has ended is never started again; the agent keeps its container for the logs.
  const mustStop = isEnded(task) && task.desiredState < DesiredState.SHUTDOWN;
  return mustStop ? DesiredState.SHUTDOWN : task.desiredState;
}

function specKey(task: AssignedTask): string {
  return `${task.serviceId}/${task.specVersion}`;
}
