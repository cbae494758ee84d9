import { DesiredState, TaskState } from "@berth/proto";
import type { Logger } from "pino";
import type { ContainerSummary } from "../core/docker/observed-container.js";
import { type ContainerEvent, eventEffect } from "../core/tasks/container-event.js";
import { endedUnobservedStatus, processEndedStatus } from "../core/tasks/status.js";
import type { HostFacts } from "../core/tasks/task-view.js";
import type { EngineInfo } from "../engine/engine.js";
import { EngineError } from "../engine/engine-error.js";
import type { RunningContainer } from "../node/host/process-watch.js";
import type { EngineListener } from "./engine-watch.js";
import type { ReconcileLoop } from "./reconcile-loop.js";
import type { StatusReporter } from "./status-reporter.js";
import type { TaskRecord } from "./task-record.js";
import type { TaskRecords } from "./task-records.js";

export interface ContainerObserverOptions {
  readonly tasks: TaskRecords;
  readonly loop: Pick<
    ReconcileLoop,
    "wake" | "isEngineConnected" | "onEngineConnected" | "onEngineDisconnected"
  >;
  readonly reporter: Pick<StatusReporter, "report">;
  readonly node: HostFacts;
  readonly onEngineConnected: (info: EngineInfo) => void;
  readonly onEngineDisconnected: (reason: string) => void;
  readonly log: Logger;
}

/** Updates task records from the reports of Docker and of the host, and wakes the affected tasks. */
export class ContainerObserver implements EngineListener {
  readonly #options: ContainerObserverOptions;

  constructor(options: ContainerObserverOptions) {
    this.#options = options;
  }

  onConnected(info: EngineInfo, containers: readonly ContainerSummary[]): void {
    const { loop, node, onEngineConnected, log } = this.#options;
    log.info(
      { version: info.version, apiVersion: info.apiVersion, containers: containers.length },
      "connected to Docker",
    );
    const { apiVersion: engineApiVersion, isolation, containerRoot } = info;
    loop.onEngineConnected({ ...node, engineApiVersion, isolation, containerRoot });
    onEngineConnected(info);
    this.onListed(containers);
  }

  onListed(containers: readonly ContainerSummary[]): void {
    const { tasks, loop } = this.#options;
    const listedIds = new Set(containers.map(({ id }) => id));
    for (const summary of containers) tasks.getOrCreate(summary.taskId).applySummary(summary);
    for (const record of tasks) {
      // A container that was created during the listing is missing in it. An inspection finds it.
      for (const id of record.containers.keys()) if (!listedIds.has(id)) record.staleContainers.add(id);
      loop.wake(record.taskId);
    }
  }

  onDisconnected(reason: Error): void {
    const { tasks, loop, onEngineDisconnected, log } = this.#options;
    log.warn({ reason: reason.message }, "lost connection to Docker; running containers are not affected");
    for (const record of tasks) record.markUnobserved();
    onEngineDisconnected(reason.message);
    loop.onEngineDisconnected(new EngineError("unavailable", reason.message, reason));
    for (const record of tasks) if (record.hasEnded) this.#reportProcessEnded(record);
  }

  onEvent(event: ContainerEvent): void {
    const { tasks, loop } = this.#options;
    // Only a start can make an unknown task known: the container may have been started outside berth.
    const task = tasks.get(event.taskId);
    if (task === undefined && event.kind !== "started") return;
    const record = task ?? tasks.getOrCreate(event.taskId);
    const state = record.containers.get(event.containerId)?.state;
    const effect = eventEffect(event, { inFlight: record.inFlight?.kind, state });
    if (effect === "remember-signal") record.memory = { ...record.memory, externalSignal: event.unixSignal };
    if (effect !== "inspect") return;
    if (event.kind === "ended") this.#markProcessEnded(record, event.containerId);
    record.staleContainers.add(event.containerId);
    loop.wake(event.taskId);
  }

  /** Called when the host has seen a container's process end, whether or not Docker reports it. */
  onProcessEnded({ taskId, containerId }: RunningContainer): void {
    const record = this.#options.tasks.get(taskId);
    if (record === undefined) return;
    this.#markProcessEnded(record, containerId);
    record.staleContainers.add(containerId);
    this.#options.loop.wake(taskId);
  }

  #markProcessEnded(record: TaskRecord, containerId: string): void {
    const { inFlight } = record;
    if (inFlight?.kind === "stop" || inFlight?.kind === "remove") return;
    if (record.markProcessEnded(containerId)) this.#reportProcessEnded(record);
  }

  /**
   * Reports the task unhealthy at once, so that it gets no new connections. Docker answers an inspection only after it
   * has cleaned up the container, which may take longer than clients wait. While Docker is unavailable, reports that a
   * task which should run has failed, so that it is replaced on another node. A task that is being stopped has left the
   * tables before.
   */
  #reportProcessEnded(record: TaskRecord): void {
    const { loop, reporter } = this.#options;
    const { status, assignment } = record;
    if (status?.state !== TaskState.RUNNING) return;
    const shouldRun = assignment?.task.desiredState === DesiredState.RUNNING;
    const toStatus = shouldRun && !loop.isEngineConnected ? endedUnobservedStatus : processEndedStatus;
    reporter.report(record, { status: toStatus(status) });
  }
}
