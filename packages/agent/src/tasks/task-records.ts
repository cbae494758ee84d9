import type { TaskStatus } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../core/docker/observed-container.js";
import type { RunningContainer } from "../node/host/process-watch.js";
import { TaskRecord } from "./task-record.js";

/** A task that has been said to be in networks, and the name servers that its service wants asked. */
export interface NetworkedTask {
  readonly status: TaskStatus;
  readonly dns: readonly string[];
}

/** What others may know of the tasks of this host. */
export type KnownTasks = Pick<
  TaskRecords,
  "statuses" | "containerOf" | "running" | "hasEnded" | "inNetworks"
>;

/** Tasks that are gone from here while a leader that is out of reach has yet to say so. */
const MAX_GONE = 1_000;

/** The tasks of this host. */
export class TaskRecords {
  readonly #records = new Map<string, TaskRecord>();
  /** The last that ended and of which nothing is left. */
  readonly #gone = new Set<string>();

  [Symbol.iterator](): Iterator<TaskRecord> {
    return this.#records.values();
  }

  get(taskId: string): TaskRecord | undefined {
    return this.#records.get(taskId);
  }

  /** A new one where the task was not known. */
  getOrCreate(taskId: string): TaskRecord {
    const known = this.#records.get(taskId);
    if (known !== undefined) return known;
    const record = new TaskRecord(taskId);
    this.#records.set(taskId, record);
    return record;
  }

  delete(taskId: string): void {
    if (this.hasEnded(taskId)) this.#gone.add(taskId);
    this.#records.delete(taskId);
    const [oldest] = this.#gone;
    if (this.#gone.size > MAX_GONE && oldest !== undefined) this.#gone.delete(oldest);
  }

  /** The status of every task known, to be restored after a restart. */
  statuses(): ReadonlyMap<string, TaskStatus> {
    const statuses = new Map<string, TaskStatus>();
    for (const { taskId, status } of this) if (status) statuses.set(taskId, status);
    return statuses;
  }

  /** The task's container as it was last seen. */
  containerOf(taskId: string): ObservedContainer | undefined {
    const containers = this.#records.get(taskId)?.containers.values();
    return containers?.next().value;
  }

  /** Containers that run as far as is known. */
  *running(): Generator<RunningContainer> {
    for (const { taskId, containers } of this) {
      for (const container of containers.values()) {
        const { id: containerId, processId } = container;
        if (processId > 0 && isAlive(container)) yield { taskId, containerId, processId };
      }
    }
  }

  /** The task had a container here, and nothing runs in it any more: a task does not begin again. */
  hasEnded(taskId: string): boolean {
    return this.#records.get(taskId)?.hasEnded ?? this.#gone.has(taskId);
  }

  *inNetworks(): Generator<NetworkedTask> {
    for (const { status, assignment } of this) {
      if (status === undefined || status.addresses.length === 0) continue;
      yield { status, dns: assignment?.spec.task?.container?.dns ?? [] };
    }
  }

  /**
   * Tasks that name networks. One whose networks are not ready has no next step (`core/networks/task-networks.ts` says
   * what it waits for), and nothing but a change of these can give it one.
   */
  *needingNetworks(): Generator<string> {
    for (const { taskId, assignment } of this) {
      if ((assignment?.spec.task?.networks.length ?? 0) > 0) yield taskId;
    }
  }
}
