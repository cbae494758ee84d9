import { type DesiredState, imageReference, type ReportedTask, type TaskStatus } from "@berth/proto";
import { type ContainerSummary, isAlive, type ObservedContainer } from "../core/docker/observed-container.js";
import type { WorkKind } from "../core/tasks/container-event.js";
import { isFinal } from "../core/tasks/status.js";
import type { Step, StepOutcome } from "../core/tasks/step.js";
import {
  applyObservation,
  applyOutcome,
  BLANK_MEMORY,
  hasEnded,
  type TaskMemory,
} from "../core/tasks/task-memory.js";
import type { Assignment, TaskView } from "../core/tasks/task-view.js";

/** The work in flight for a task: a step, or an inspection of one of its containers. */
export interface InFlight {
  readonly kind: WorkKind;
  readonly controller: AbortController;
}

/** The observed state of one task. `reconcile` decides about it. */
export class TaskRecord {
  readonly taskId: string;
  readonly containers = new Map<string, ObservedContainer>();
  /** IDs or names of containers that may have changed since their last inspection. */
  readonly staleContainers = new Set<string>();
  assignment: Assignment | undefined;
  /** Whether the leader has removed the task. An unknown task was never mentioned by the leader. */
  wasRemoved = false;
  status: TaskStatus | undefined;
  memory: TaskMemory = BLANK_MEMORY;
  inFlight: InFlight | undefined;
  /** The named resources of the container that was created last, before Docker shows it. */
  createdResources: readonly string[] = [];
  /** The last report to the leader. */
  lastReport: ReportedTask | undefined;

  constructor(taskId: string) {
    this.taskId = taskId;
  }

  /** The reference of its image. Empty while no spec is assigned. */
  get image(): string {
    const container = this.assignment?.spec.task?.container;
    return container === undefined ? "" : imageReference(container);
  }

  get isAtMostOne(): boolean {
    const [container] = this.containers.values();
    return this.assignment?.task.atMostOne || container?.atMostOne || false;
  }

  /** Returns the named resources that no other task can have. A task that has ended needs none. */
  get resources(): readonly string[] {
    if (isFinal(this.status)) return [];
    const containers = [...this.containers.values()];
    return containers.length === 0 ? this.createdResources : containers.flatMap(({ resources }) => resources);
  }

  /** Whether the task may have a container that was not inspected yet. */
  get isUnexplored(): boolean {
    return this.containers.size === 0 && (this.staleContainers.size > 0 || this.inFlight?.kind === "inspect");
  }

  /**
   * Returns the view of the task for a decision.
   *
   * @param environment the facts that the record does not hold
   */
  toView(
    environment: Omit<TaskView, "taskId" | "assignment" | "containers" | "status" | "memory">,
  ): TaskView {
    const { taskId, assignment, status, memory } = this;
    return { taskId, assignment, containers: [...this.containers.values()], status, memory, ...environment };
  }

  /**
   * Updates the assignment. The desired state only moves forward: a new leader waits for tables before it stops a task,
   * and would otherwise revert the stop that its predecessor had requested.
   */
  assign(assignment: Assignment): void {
    const previous = this.assignment;
    const { task } = assignment;
    const desiredState = furthest(task.desiredState, previous?.task.desiredState);
    const receivedAtMs = previous?.receivedAtMs ?? assignment.receivedAtMs;
    this.assignment = { ...assignment, task: { ...task, desiredState }, receivedAtMs };
    this.wasRemoved = false;
    // The container belongs to a task that this agent does not know: if it is gone, the task has ended.
    if (this.memory.containerId === "") this.memory = { ...this.memory, containerId: task.containerId };
  }

  /** Called when Docker is unavailable: the end of a container can no longer be observed. */
  markUnobserved(): void {
    if ([...this.containers.values()].some(isAlive)) this.memory = { ...this.memory, wasUnobserved: true };
  }

  /** Whether the task had a container that no longer has a running process. */
  get hasEnded(): boolean {
    const containers = [...this.containers.values()];
    if (containers.length === 0) return isFinal(this.status);
    return containers.every((container) => !isAlive(container) || hasEnded(container, this.memory));
  }

  /** Records that a container's first process has ended. Returns false when that is known already. */
  markProcessEnded(containerId: string): boolean {
    const container = this.containers.get(containerId);
    if (container === undefined || !isAlive(container) || container.processId === 0) return false;
    if (hasEnded(container, this.memory)) return false;
    this.memory = { ...this.memory, endedProcessId: container.processId };
    return true;
  }

  /** Marks the container for inspection unless the listing shows it as last observed. */
  applySummary({ id, state, health }: ContainerSummary): void {
    const previous = this.containers.get(id);
    const isAsKnown = previous !== undefined && previous.state === state && previous.health === health;
    if (!isAsKnown || this.memory.endedProcessId !== 0) this.staleContainers.add(id);
  }

  /** Records the result of a step. */
  applyOutcome(step: Step, outcome: StepOutcome, nowMs: number): void {
    this.memory = applyOutcome(this.memory, { step, outcome, nowMs });
    this.#storeContainer(outcome);
    // The step may have taken effect. A running container that counts as dead would never be stopped.
    const isUncertain = outcome.kind === "unknown" || outcome.kind === "failed";
    if (isUncertain && "containerId" in step) this.staleContainers.add(step.containerId);
    // The container may exist. It is found by its name, and would be left behind otherwise.
    if (isUncertain && step.kind === "create") this.staleContainers.add(step.config.name);
  }

  /** Records the result of an inspection. */
  applyInspection(outcome: StepOutcome, nowMs: number): void {
    if (outcome.kind === "observed" && outcome.container.taskId !== this.taskId) {
      // An inspection by name may find a foreign container, and a renamed container is the task's no longer.
      this.containers.delete(outcome.container.id);
      return;
    }
    this.#storeContainer(outcome);
    if (outcome.kind === "observed") {
      this.memory = applyObservation(this.memory, outcome.container, nowMs);
    }
  }

  #storeContainer(outcome: StepOutcome): void {
    if (outcome.kind === "observed") this.containers.set(outcome.container.id, outcome.container);
    if (outcome.kind === "gone") this.containers.delete(outcome.containerId);
  }
}

function furthest(state: DesiredState, known: DesiredState | undefined): DesiredState {
  return known !== undefined && known > state ? known : state;
}
