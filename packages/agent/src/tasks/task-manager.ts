import type { AssignedRegistryLogin, TaskStatus, UnknownTask } from "@berth/proto";
import type { Logger } from "pino";
import type { NetworksView } from "../core/networks/task-networks.js";
import type { PolicyView } from "../core/tasks/policy-refusal.js";
import type { FileContents } from "../core/tasks/task-files.js";
import { restoredMemory } from "../core/tasks/task-memory.js";
import type { Assignment, AssignmentChange, HostFacts } from "../core/tasks/task-view.js";
import type { Engine, EngineInfo } from "../engine/engine.js";
import type { ShippedFiles } from "../files/shipped-files.js";
import type { TaskFiles } from "../files/task-files.js";
import type { RunningContainer } from "../node/host/process-watch.js";
import type { CheckPort } from "../node/probe/check-port.js";
import { ContainerObserver } from "./container-observer.js";
import { watchEngine } from "./engine-watch.js";
import type { ManagedImages } from "./image-cache.js";
import { ReconcileLoop } from "./reconcile-loop.js";
import { StatusReporter, type StatusReporterOptions } from "./status-reporter.js";
import { type KnownTasks, TaskRecords } from "./task-records.js";
import { UnknownTaskReporter } from "./unknown-tasks.js";

export interface TaskManagerOptions extends StatusReporterOptions {
  readonly engine: Engine;
  readonly checkPort: CheckPort;
  /** Writes a text to a file that containers can mount, and returns its path. */
  readonly shareFile: (text: string) => Promise<string>;
  /** Called with the reason when Docker cannot publish ports, and with "" when it has published some. */
  readonly onPortPublishing: (problem: string) => void;
  readonly taskFiles: TaskFiles;
  /** Undefined where nodes do not transfer images, as in the simulation. */
  readonly shippedFiles?: ShippedFiles | undefined;
  /** Undefined where nodes do not transfer images, as in the simulation. */
  readonly managedImages?: ManagedImages | undefined;
  /** Called with the reason why secrets may be written to disk, and with "" when they cannot. */
  readonly onSwapProblem: (problem: string) => void;
  readonly node: HostFacts;
  readonly log: Logger;
  readonly now?: () => number;
  /** Returns true while at-most-one tasks must not run, because the leader may have replaced them. */
  /** The names of named generic resources, by kind. Default: none. */
  readonly resourceNames?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly isFenced: () => boolean;
  /** Returns the current state of the networks that tasks of this node can join. */
  readonly networks: () => NetworksView;
  /** Returns the policy for what containers may use on this host. */
  readonly policy: () => PolicyView;
  /** Called when nothing remains of a task that is no longer assigned. */
  readonly onForgotten: (taskId: string) => void;
  /** Called with the running containers of unknown tasks, while the leader asks for them and when they change. */
  readonly onUnknownTasks: (tasks: readonly UnknownTask[]) => void;
  readonly onEngineConnected: (info: EngineInfo) => void;
  /** Called once, however long the daemon is unavailable. */
  readonly onEngineDisconnected: (reason: string) => void;
}

/**
 * Makes Docker match the assignments of this node: observes, decides, executes one step, and observes again, task by
 * task. Events wake it; it never polls. Each task has at most one step in flight.
 *
 * Containers without an assignment are left alone until a complete set of assignments has arrived.
 */
export class TaskManager {
  readonly #options: TaskManagerOptions;
  readonly #tasks = new TaskRecords();
  readonly #loop: ReconcileLoop;
  readonly #observer: ContainerObserver;
  readonly #unknownTasks: UnknownTaskReporter;
  #fileContents: FileContents = new Map();
  #registryLogins: readonly AssignedRegistryLogin[] = [];

  constructor(options: TaskManagerOptions) {
    const { engine, checkPort, shareFile, onPortPublishing, taskFiles, onSwapProblem } = options;
    const { shippedFiles } = options;
    const { log, now = Date.now, isFenced, networks, policy, onForgotten } = options;
    const reporter = new StatusReporter(options);
    this.#options = options;
    this.#loop = new ReconcileLoop({
      tasks: this.#tasks,
      reporter,
      tools: {
        engine,
        checkPort,
        shareFile,
        onPortPublishing,
        taskFiles,
        shippedFiles,
        onSwapProblem,
        registryLogins: () => this.#registryLogins,
      },
      managedImages: options.managedImages,
      resourceNames: options.resourceNames ?? {},
      isFenced,
      networks,
      policy,
      files: () => ({
        contents: this.#fileContents,
        directory: taskFiles.directory,
        shippedDirectory: shippedFiles?.directory ?? "",
      }),
      onForgotten,
      onKept: () => this.#unknownTasks.reportIfChanged(),
      log,
      now,
    });
    this.#unknownTasks = new UnknownTaskReporter({
      tasks: this.#tasks,
      loop: this.#loop,
      onReport: options.onUnknownTasks,
    });
    this.#observer = new ContainerObserver({ ...options, tasks: this.#tasks, reporter, loop: this.#loop });
  }

  /** The tasks of this node as last observed. */
  get tasks(): KnownTasks {
    return this.#tasks;
  }

  /** Runs until the signal is aborted, then cancels steps in flight. Containers keep running. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#findFiles();
      await watchEngine(this.#options.engine, this.#observer, signal);
    } finally {
      this.#loop.close(signal.reason);
    }
  }

  /** Restores the status that an earlier run of the agent reported last. Called before `run`. */
  restore(taskId: string, status: TaskStatus): void {
    const record = this.#tasks.getOrCreate(taskId);
    record.status = status;
    record.memory = restoredMemory(status.containerId);
  }

  /**
   * Updates the secrets and configs that the leader has sent, and wakes the tasks that may be waiting for them.
   * Contents are kept in memory only.
   */
  updateFiles(contents: FileContents): void {
    this.#fileContents = contents;
    for (const taskId of this.#tasks.taskIdsWithFiles()) this.#loop.wake(taskId);
  }

  /** Updates the registry logins that the leader has sent. The next pull uses them. They are kept in memory only. */
  updateRegistryLogins(logins: readonly AssignedRegistryLogin[]): void {
    this.#registryLogins = logins;
  }

  /** Applies a change of the assignments. A complete set also unassigns all tasks that it does not contain. */
  assign({ isComplete, assigned, removedTaskIds, keepsUnknown }: AssignmentChange): void {
    for (const assignment of assigned) this.#assignTask(assignment);
    for (const taskId of removedTaskIds) this.#unassign(taskId, true);
    if (isComplete) {
      this.#loop.allowRemovals();
      const assignedIds = new Set(assigned.map(({ task }) => task.id));
      for (const { taskId } of this.#tasks) if (!assignedIds.has(taskId)) this.#unassign(taskId, false);
    }
    if (keepsUnknown === undefined) return;
    this.#loop.keepUnknown(keepsUnknown);
    for (const { taskId, assignment } of this.#tasks) if (assignment === undefined) this.#loop.wake(taskId);
    if (keepsUnknown) this.#unknownTasks.start();
    else this.#unknownTasks.stop();
  }

  /** Called when the node is fenced or in contact with the leader again. A fence shortens long grace periods. */
  onFenceChanged(): void {
    for (const record of this.#tasks) {
      if (!record.isAtMostOne) continue;
      this.#loop.cancelUnneededStep(record);
      this.#loop.wake(record.taskId);
      if (this.#options.isFenced()) this.#loop.shortenStop(record);
    }
  }

  /** Called when a client has attached to the container of a task, which may wait for this to start. */
  onAttached(taskId: string): void {
    const record = this.#tasks.get(taskId);
    if (record === undefined) return;
    record.memory = { ...record.memory, isAttached: true };
    this.#loop.wake(taskId);
  }

  /** Called when the state of a network changed. Wakes the tasks that may be waiting for it. */
  onNetworksChanged(): void {
    for (const taskId of this.#tasks.taskIdsWithNetworks()) this.#loop.wake(taskId);
  }

  /** Called when this host has seen a container's process end, whether or not Docker reports it. */
  onProcessEnded(container: RunningContainer): void {
    this.#observer.onProcessEnded(container);
  }

  /** Finds the files that earlier runs of the agent have written. Files of unassigned tasks are removed later. */
  async #findFiles(): Promise<void> {
    const { taskFiles, shippedFiles, log } = this.#options;
    try {
      for (const taskId of await taskFiles.list()) {
        const record = this.#tasks.getOrCreate(taskId);
        record.memory = { ...record.memory, files: "unverified" };
      }
      for (const taskId of (await shippedFiles?.list()) ?? []) {
        const record = this.#tasks.getOrCreate(taskId);
        record.memory = { ...record.memory, shipped: "unverified" };
      }
    } catch (error) {
      log.error(
        { err: error },
        "cannot list the secrets and shipped mounts of earlier tasks; they stay until the next start",
      );
    }
  }

  #assignTask(assignment: Assignment): void {
    const record = this.#tasks.getOrCreate(assignment.task.id);
    const isKnown = record.assignment !== undefined;
    record.assign(assignment);
    if (isKnown) this.#loop.cancelUnneededStep(record);
    this.#loop.wake(record.taskId);
    for (const companion of this.#tasks.companionsOf(record.taskId)) this.#loop.wake(companion);
  }

  #unassign(taskId: string, wasRemoved: boolean): void {
    const record = this.#tasks.getOrCreate(taskId);
    record.assignment = undefined;
    record.wasRemoved = wasRemoved;
    this.#loop.cancelUnneededStep(record);
    this.#loop.wake(taskId);
  }
}
