import {
  assertNever,
  type BerthError,
  isBerthError,
  type ReportedTask,
  type Task,
  TaskState,
  type TaskStatuses,
} from "@berth/proto";
import type { Logger } from "pino";
import { staticAddressIn } from "../core/allocator/static-addresses.js";
import { type AddressLeases, checkReportedStatus } from "../core/model/reported-status.js";
import { applyReport } from "../core/model/task-report.js";
import { MAX_CHANGES } from "../reconciler/transaction.js";
import type { Writer } from "../reconciler/writer.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Minimum interval between two writes. Statuses that arrive in between share transactions. */
const MIN_WRITE_INTERVAL_MS = 20;

/** Delay before a failed write is retried. */
const RETRY_MS = 500;

export interface StatusWriterOptions {
  readonly state: ClusterState;
  readonly writer: Pick<Writer, "submit">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The session that statuses came from. */
export interface StatusReceiver {
  /** Acknowledges that all statuses up to this batch are in the store. */
  ackStatuses(batch: number): void;
  /** Ends the session with an error. */
  end(error: BerthError): void;
}

/** The unwritten statuses of one node. Bounded by the number of its tasks. */
interface NodeReports {
  /** The latest status of each task, by task ID. */
  readonly tasks: Map<string, ReportedTask>;
  /** The latest batch, which acknowledges all earlier batches too. */
  readonly batch: number;
  readonly receiver: StatusReceiver;
}

/**
 * Writes the task statuses that the dispatcher receives from agents, and acknowledges them once they are in the store.
 *
 * If a task has several unwritten statuses, only the latest is written. Each node's statuses are a separate decision,
 * so that statuses which the store rejects end only the session of their agent. The writer combines decisions into few
 * transactions.
 */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  /** Unwritten statuses by node ID. */
  readonly #pending = new Map<string, NodeReports>();
  /** The nodes with a write in flight or waiting for a retry. */
  readonly #writing = new Set<string>();
  #isStarting = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /**
   * Queues a batch of statuses. Acknowledges it once it and every earlier batch are in the store. Drops statuses of tasks
   * that are unknown or on another node.
   */
  enqueue(nodeId: string, { batch, tasks }: TaskStatuses, receiver: StatusReceiver): void {
    const { state } = this.#options;
    const nodeTasks = tasks.filter(({ taskId }) => state.tasks.get(taskId)?.nodeId === nodeId);
    this.#add(nodeId, nodeTasks, { batch, receiver });
    this.#startWriting();
  }

  /** Adds statuses that are newer than the queued ones of the node. */
  #add(nodeId: string, newer: Iterable<ReportedTask>, ack: Pick<NodeReports, "batch" | "receiver">): void {
    const tasks = this.#pending.get(nodeId)?.tasks ?? new Map<string, ReportedTask>();
    for (const task of newer) tasks.set(task.taskId, task);
    this.#pending.set(nodeId, { batch: ack.batch, receiver: ack.receiver, tasks });
  }

  #startWriting(): void {
    if (this.#isStarting) return;
    this.#isStarting = true;
    void this.#startWrites();
  }

  /** Starts a write for each node with queued statuses that has no write in flight, until no such node is left. */
  async #startWrites(): Promise<void> {
    const { runtime, signal } = this.#options;
    while (!signal.aborted) {
      const ready = [...this.#pending].filter(([nodeId]) => !this.#writing.has(nodeId));
      if (ready.length === 0) break;
      for (const [nodeId, reports] of ready) {
        this.#pending.delete(nodeId);
        this.#writing.add(nodeId);
        void this.#writeNode(nodeId, reports);
      }
      await sleep(runtime.clock, MIN_WRITE_INTERVAL_MS, signal);
    }
    this.#isStarting = false;
  }

  async #writeNode(nodeId: string, reports: NodeReports): Promise<void> {
    const { signal } = this.#options;
    try {
      const chunks = splitIntoChunks([...reports.tasks.values()], MAX_CHANGES);
      await Promise.all(chunks.map((chunk) => this.#write(nodeId, chunk)));
      reports.receiver.ackStatuses(reports.batch);
    } catch (error) {
      if (!signal.aborted) await this.#onFailure(nodeId, reports, error);
    }
    this.#writing.delete(nodeId);
    if (this.#pending.has(nodeId)) this.#startWriting();
  }

  /** Requeues the statuses after a pause, or ends the session if a retry would also fail. */
  async #onFailure(nodeId: string, reports: NodeReports, error: unknown): Promise<void> {
    const { logger, runtime, signal } = this.#options;
    const level = isBerthError(error) ? "warn" : "error";
    logger[level]({ err: error, nodeId }, "failed to write task statuses");
    if (isBerthError(error, "BERTH_STORE_LIMIT")) {
      reports.receiver.end(error);
      return;
    }
    await sleep(runtime.clock, RETRY_MS, signal);
    const newer = this.#pending.get(nodeId);
    this.#pending.set(nodeId, reports);
    if (newer !== undefined) this.#add(nodeId, newer.tasks.values(), newer);
  }

  async #write(nodeId: string, reports: readonly ReportedTask[]): Promise<void> {
    const { writer, runtime, logger, signal } = this.#options;
    const changes = await writer.submit((state) => {
      const nowMs = runtime.wallClockMs();
      const changes = reports.flatMap((report) => reportChanges(nodeId, report, { state, logger, nowMs }));
      return { changes, result: changes };
    }, signal);
    for (const change of changes) {
      if (change.kind === "put-task") logTaskEnd(change.task, logger);
    }
  }
}

/** Returns the changes that record a report. Empty if the task is unknown, on another node, or in a later state. */
function reportChanges(
  nodeId: string,
  reported: ReportedTask,
  { state, logger, nowMs }: Pick<StatusWriterOptions, "state" | "logger"> & { readonly nowMs: number },
): readonly Change[] {
  const task = state.tasks.get(reported.taskId);
  if (task === undefined) return [];
  const checked =
    reported.status && checkReportedStatus(reported.status, leasesOf({ ...task, nodeId }, state));
  const report = { nodeId, status: checked?.status, removed: reported.removed };
  const result = applyReport(task, report, nowMs);
  switch (result.kind) {
    case "updated":
      if (checked !== undefined && checked.rejected.length > 0) {
        const { rejected } = checked;
        logger.warn({ nodeId, taskId: task.id, rejected }, "rejected values of a reported status");
      }
      return [{ kind: "put-task", task: result.task }];
    case "deleted":
      return [{ kind: "delete-task", serviceId: task.serviceId, taskId: task.id }];
    case "unchanged":
    case "ignored":
      return [];
    default:
      return assertNever(result);
  }
}

/** Returns the addresses that a task on its node can have. */
function leasesOf({ nodeId, serviceId, specVersion }: Task, state: ClusterState): AddressLeases {
  return {
    leaseIn: (networkId) => state.networks.ranges.get(networkId, nodeId),
    staticAddress: (networkId) => {
      const spec = state.services.versions.specOf(serviceId, specVersion);
      const network = state.networks.get(networkId)?.spec?.name;
      return spec && network !== undefined ? staticAddressIn(spec, network) : undefined;
    },
  };
}

/** Logs the end of a task that has completed or failed without a stop request. */
function logTaskEnd({ id, serviceName, slot, nodeId, status }: Task, logger: Logger): void {
  if (status === undefined || status.state < TaskState.COMPLETE || status.state === TaskState.SHUTDOWN) {
    return;
  }
  const { exitCode, message } = status;
  const outcome = status.state === TaskState.COMPLETE ? "completed" : "failed";
  logger.info({ nodeId, exitCode, reason: message }, `task ${id} (${serviceName}.${slot}) ${outcome}`);
}

function splitIntoChunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  const chunks: T[][] = [];
  for (let start = 0; start < items.length; start += size) chunks.push(items.slice(start, start + size));
  return chunks;
}
