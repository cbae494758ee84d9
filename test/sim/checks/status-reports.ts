import { TaskState } from "@berth/proto";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { CheckContext } from "./check-context.js";
import { stateOf } from "./records.js";

/** Maximum time until the records show what runs on a host, once its agent can report. */
const REPORT_MS = 4_000;

/** L5: the start and the end of a container on a connected host are recorded in time. */
export class StatusReports {
  readonly #context: CheckContext;
  /** When the state of each container began to differ from the records. */
  readonly #unreportedSinceMs = new Map<SimContainer, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  check(): void {
    const unreported = new Set<SimContainer>();
    for (const host of this.#context.cluster.hosts) {
      for (const container of host.docker.containers.values()) {
        if (!this.#isUnreported(host, container)) continue;
        unreported.add(container);
        this.#checkDelay(host, container);
      }
    }
    for (const container of this.#unreportedSinceMs.keys()) {
      if (!unreported.has(container)) this.#unreportedSinceMs.delete(container);
    }
  }

  #checkDelay(host: SimHost, container: SimContainer): void {
    const { report, records, cluster, conditions } = this.#context;
    const { nowMs } = cluster.world.scheduler;
    const sinceMs = this.#unreportedSinceMs.get(container) ?? nowMs;
    this.#unreportedSinceMs.set(container, sinceMs);
    if (Math.min(nowMs - sinceMs, conditions.reportingForMs(host.name)) <= REPORT_MS) return;
    const recorded = stateOf(records.tasks.get(container.taskId));
    report("L5", `${container.name} is ${container.state} on ${host.name}, but its record says ${recorded}`);
  }

  /** Returns whether the record contradicts Docker. */
  #isUnreported({ nodeId }: SimHost, container: SimContainer): boolean {
    const task = this.#context.records.tasks.get(container.taskId);
    if (task === undefined || task.nodeId !== nodeId) return false;
    if (container.state === "exited") return stateOf(task) < TaskState.COMPLETE;
    const isHealthy = container.health === "none" || container.health === "healthy";
    return container.isRunning && isHealthy && stateOf(task) < TaskState.RUNNING;
  }
}
