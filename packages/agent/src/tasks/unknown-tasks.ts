import { MAX_UNKNOWN_TASKS, type UnknownTask } from "@berth/proto";
import { isAlive } from "../core/docker/observed-container.js";
import type { ReconcileLoop } from "./reconcile-loop.js";
import type { TaskRecords } from "./task-records.js";

export interface UnknownTaskReporterOptions {
  readonly tasks: TaskRecords;
  readonly loop: Pick<ReconcileLoop, "isKept" | "isEngineConnected">;
  readonly onReport: (tasks: readonly UnknownTask[]) => void;
}

/**
 * Reports the running containers of tasks that the leader does not know. After a restore from a backup, the leader
 * waits for each node's report, and for these containers to end.
 */
export class UnknownTaskReporter {
  readonly #options: UnknownTaskReporterOptions;
  #isStarted = false;
  /** The last report of this session, as text. Undefined before the first. */
  #lastReport: string | undefined;

  constructor(options: UnknownTaskReporterOptions) {
    this.#options = options;
  }

  /** Starts reporting: first as soon as all containers are known, then after each change. Called in each session. */
  start(): void {
    this.#isStarted = true;
    this.#lastReport = undefined;
    this.reportIfChanged();
  }

  stop(): void {
    this.#isStarted = false;
  }

  /** Sends a report unless it equals the last one. */
  reportIfChanged(): void {
    const { loop, onReport } = this.#options;
    // Without Docker, the containers are unknown. Once Docker is connected, their listing triggers the next report.
    if (!this.#isStarted || !loop.isEngineConnected) return;
    const tasks = this.#list();
    if (tasks === undefined) return;
    const report = JSON.stringify(tasks);
    if (report === this.#lastReport) return;
    this.#lastReport = report;
    onReport(tasks);
  }

  /** Returns the unknown tasks, or undefined while a container has to be inspected first. */
  #list(): readonly UnknownTask[] | undefined {
    const unknownTasks: UnknownTask[] = [];
    for (const record of this.#options.tasks) {
      if (!this.#options.loop.isKept(record)) continue;
      if (record.staleContainers.size > 0) return undefined;
      const container = [...record.containers.values()].find(isAlive);
      if (container === undefined) continue;
      const { id: containerId, name: containerName } = container;
      unknownTasks.push({ taskId: record.taskId, containerId, containerName });
    }
    return unknownTasks.slice(0, MAX_UNKNOWN_TASKS);
  }
}
