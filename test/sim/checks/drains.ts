import { DesiredState } from "@berth/proto";
import { receivesConnections } from "../../../packages/control-plane/src/core/endpoints/drain.js";
import type { CheckContext } from "./check-context.js";
import type { TaskChange } from "./records.js";

/** A host that does not answer is waited for so long; less what a timer may be early against a commit's time. */
const DEADLINE_MS = 990;

/** I11: a task is not told to stop while a host that is well still sends it new connections. */
export class Drains {
  readonly #context: CheckContext;
  /** Tasks that took connections when they were to stop, and since when. */
  readonly #stoppingSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onCommit(tasks: readonly TaskChange[]): void {
    const { cluster, records } = this.#context;
    for (const { before, after } of tasks) {
      const isNews =
        before !== undefined &&
        before.desiredState < DesiredState.SHUTDOWN &&
        (after?.desiredState ?? DesiredState.UNSPECIFIED) >= DesiredState.SHUTDOWN;
      const spec = before && records.specOf(before.serviceId, before.specVersion);
      // What goes with its service is not waited for, also if that comes back meanwhile.
      const isGoing = records.services.get(before?.serviceId ?? "")?.removing !== false;
      if (!isNews || isGoing || spec === undefined || !receivesConnections(before, spec)) continue;
      this.#stoppingSinceMs.set(before.id, cluster.world.scheduler.nowMs);
    }
  }

  onStop(hostName: string, containerId: string): void {
    const { cluster, records, conditions: contact, report } = this.#context;
    const host = cluster.hosts.find(({ name }) => name === hostName);
    const { taskId = "" } = host?.docker.containers.get(containerId) ?? {};
    const sinceMs = this.#stoppingSinceMs.get(taskId);
    const { nowMs } = cluster.world.scheduler;
    if (sinceMs === undefined || nowMs - sinceMs >= DEADLINE_MS) return;
    const task = records.tasks.get(taskId);
    // What ended, fell ill or goes with its service is not waited for.
    if (task === undefined || records.services.get(task.serviceId)?.removing !== false) return;
    const spec = records.specOf(task.serviceId, task.specVersion);
    if (spec === undefined || !receivesConnections(task, spec)) return;
    for (const { name, table, names } of cluster.hosts) {
      const tables = [...(table?.listeners ?? []), ...names.services];
      const sends = tables.some(({ endpoints }) => endpoints.some(({ id }) => id === taskId));
      if (!sends || !contact.isHealthy(name)) continue;
      const what = `${hostName} stops task ${taskId} (${task.serviceName})`;
      report("I11", `${what} while ${name} still sends it connections`);
    }
  }
}
