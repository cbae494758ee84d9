import type { DesiredState, ReportedTask, TaskStatus } from "@berth/proto";
import { type ContainerSummary, isAlive, type ObservedContainer } from "../core/docker/observed-container.js";
import type { WorkKind } from "../core/tasks/container-event.js";
import { isFinal } from "../core/tasks/status.js";
import type { Step } from "../core/tasks/step.js";
import { applyObservation, applyOutcome, hasEnded, type StepOutcome } from "../core/tasks/task-memory.js";
import { type Assignment, BLANK_MEMORY, type TaskMemory, type TaskView } from "../core/tasks/task-view.js";

/** Work on a task that is under way: a step, or a look at one of its containers. */
export interface InFlight {
  readonly kind: WorkKind;
  readonly controller: AbortController;
}

/** What the worker holds of one task. Changed by facts alone; decisions are made elsewhere. */
export class TaskRecord {
  readonly taskId: string;
  readonly containers = new Map<string, ObservedContainer>();
  /** Containers that may have changed since they were looked at. */
  readonly stale = new Set<string>();
  assignment: Assignment | undefined;
  status: TaskStatus | undefined;
  memory: TaskMemory = BLANK_MEMORY;
  inFlight: InFlight | undefined;
  /** What the leader was last told. */
  reported: ReportedTask | undefined;

  constructor(taskId: string) {
    this.taskId = taskId;
  }

  get image(): string {
    return this.assignment?.spec.task?.container?.image ?? "";
  }

  get isAtMostOne(): boolean {
    const [container] = this.containers.values();
    return this.assignment?.task.atMostOne || container?.atMostOne || false;
  }

  view(around: Pick<TaskView, "node" | "image" | "networks" | "isFenced">): TaskView {
    const { taskId, assignment, status, memory } = this;
    return { taskId, assignment, containers: [...this.containers.values()], status, memory, ...around };
  }

  /**
   * What a task is to be moves forward only. A new leader, who waits for tables before it has a task stopped, would
   * take back what the one before it had said.
   */
  assign(assignment: Assignment): void {
    const known = this.assignment;
    const { task } = assignment;
    const desiredState = furthest(task.desiredState, known?.task.desiredState);
    const receivedAtMs = known?.receivedAtMs ?? assignment.receivedAtMs;
    this.assignment = { ...assignment, task: { ...task, desiredState }, receivedAtMs };
  }

  /** From now on nobody sees how the container ends, if it does. */
  markUnobserved(): void {
    if ([...this.containers.values()].some(isAlive)) this.memory = { ...this.memory, wasUnobserved: true };
  }

  /** The task has, or had, a container, and nobody answers in it any more. */
  get hasEnded(): boolean {
    const containers = [...this.containers.values()];
    if (containers.length === 0) return isFinal(this.status);
    return containers.every((container) => !isAlive(container) || hasEnded(container, this.memory));
  }

  /** A container's first process has ended, whatever Docker says. False: that is known already, or it does not run. */
  markProcessEnded(containerId: string): boolean {
    const container = this.containers.get(containerId);
    if (container === undefined || !isAlive(container) || container.processId === 0) return false;
    if (hasEnded(container, this.memory)) return false;
    this.memory = { ...this.memory, endedProcessId: container.processId };
    return true;
  }

  /** A listing names the container: look at it if it is not as it was. */
  applySummary({ id, state, health }: ContainerSummary): void {
    const known = this.containers.get(id);
    const isAsKnown = known !== undefined && known.state === state && known.health === health;
    if (!isAsKnown || this.memory.endedProcessId !== 0) this.stale.add(id);
  }

  applyOutcome(step: Step, outcome: StepOutcome, nowMs: number): void {
    this.memory = applyOutcome(this.memory, { step, outcome, nowMs });
    this.#noteContainer(outcome);
    // It may have been done all the same: a container that is taken for dead and runs would not be stopped.
    const isDoubtful = outcome.kind === "unknown" || outcome.kind === "failed";
    if (isDoubtful && "containerId" in step) this.stale.add(step.containerId);
    // A container that nobody knows of would be left over: it has a name, if it is there.
    if (isDoubtful && step.kind === "create") this.stale.add(step.config.name);
  }

  applyInspection(outcome: StepOutcome, nowMs: number): void {
    // Looked up by name: it may be somebody else's.
    if (outcome.kind === "observed" && outcome.container.taskId !== this.taskId) return;
    this.#noteContainer(outcome);
    if (outcome.kind === "observed") {
      this.memory = applyObservation(this.memory, outcome.container, nowMs);
    }
  }

  #noteContainer(outcome: StepOutcome): void {
    if (outcome.kind === "observed") this.containers.set(outcome.container.id, outcome.container);
    if (outcome.kind === "gone") this.containers.delete(outcome.containerId);
  }
}

function furthest(state: DesiredState, known: DesiredState | undefined): DesiredState {
  return known !== undefined && known > state ? known : state;
}
