import { TaskState } from "@berth/proto";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { CheckContext } from "./check-context.js";
import { stateOf } from "./records.js";

/** So long after its agent can speak with the leader, or after it happened, the records say what runs on a host. */
const TOLD_MS = 4_000;

/** L5: what happens on a host that is in hand gets known in time. */
export class StatusReports {
  readonly #context: CheckContext;
  /** Containers whose state etcd does not know, and since when. */
  readonly #untoldSinceMs = new Map<SimContainer, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  check(): void {
    const { cluster } = this.#context;
    const untold = new Set<SimContainer>();
    for (const host of cluster.hosts) {
      for (const container of host.docker.containers.values()) {
        if (!this.#isUntold(host, container)) continue;
        untold.add(container);
        this.#noteUntold(host, container);
      }
    }
    for (const container of this.#untoldSinceMs.keys()) {
      if (!untold.has(container)) this.#untoldSinceMs.delete(container);
    }
  }

  #noteUntold(host: SimHost, container: SimContainer): void {
    const { report, records, cluster, conditions: contact } = this.#context;
    const { nowMs } = cluster.world.scheduler;
    const sinceMs = this.#untoldSinceMs.get(container) ?? nowMs;
    this.#untoldSinceMs.set(container, sinceMs);
    if (Math.min(nowMs - sinceMs, contact.reportingForMs(host.name)) <= TOLD_MS) return;
    const known = stateOf(records.tasks.get(container.taskId));
    report(
      "L5",
      `${container.name} is ${container.state} on ${host.name}, but in state ${known} by the records`,
    );
  }

  /** Docker's word against the record's. */
  #isUntold({ nodeId }: SimHost, container: SimContainer): boolean {
    const task = this.#context.records.tasks.get(container.taskId);
    if (task === undefined || task.nodeId !== nodeId) return false;
    if (container.state === "exited") return stateOf(task) < TaskState.COMPLETE;
    const isWell = container.health === "none" || container.health === "healthy";
    return container.isRunning && isWell && stateOf(task) < TaskState.RUNNING;
  }
}
