import { DesiredState, type Task } from "@berth/proto";
import {
  DRAIN_DEADLINE_MS,
  receivesConnections,
} from "../../../packages/control-plane/src/core/endpoints/drain.js";
import type { SimHost } from "../cluster/sim-host.js";
import { type CheckContext, runningContainers } from "./check-context.js";
import type { TaskChange } from "./records.js";

/** Maximum time until every host stops using an endpoint that has ended: the report, the write and the new tables. */
const STALE_ENDPOINT_MS = 3_000;
/** How long the leader waits for acknowledgements. A timer may fire early relative to the time of the commit. */
const ACK_WAIT_MS = DRAIN_DEADLINE_MS - 10;

/** I9: hosts send no new connections to a task that no longer runs. */
export class StaleEndpoints {
  readonly #context: CheckContext;
  readonly #staleSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  check(): void {
    const { cluster, conditions, report } = this.#context;
    const { nowMs } = cluster.world.scheduler;
    const running = new Set(runningContainers(this.#context).map(({ container }) => container.taskId));
    const isAnyDisrupted = cluster.hosts.some(({ name }) => conditions.isDisrupted(name));
    // The leader learns nothing while etcd does not respond.
    const reportingForMs = Math.min(...cluster.hosts.map(({ name }) => conditions.reportingForMs(name)));
    const stale = new Set<string>();
    for (const host of cluster.hosts) {
      for (const { endpoints, service } of [...(host.table?.listeners ?? []), ...host.names.services]) {
        for (const { id } of endpoints) {
          if (running.has(id) || isAnyDisrupted) continue;
          const key = `${host.name} sends connections for ${service} to task ${id}`;
          stale.add(key);
          const sinceMs = this.#staleSinceMs.get(key) ?? nowMs;
          this.#staleSinceMs.set(key, sinceMs);
          if (Math.min(nowMs - sinceMs, reportingForMs) > STALE_ENDPOINT_MS) {
            report("I9", `${key}, which is not running`);
          }
        }
      }
    }
    for (const key of this.#staleSinceMs.keys()) if (!stale.has(key)) this.#staleSinceMs.delete(key);
  }
}

/** I11: a task gets its stop signal only once no healthy host sends it new connections. */
export class Drains {
  readonly #context: CheckContext;
  /** When each task that receives connections was set to stop. */
  readonly #stoppingSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onCommit(tasks: readonly TaskChange[]): void {
    const { cluster, records } = this.#context;
    for (const { before, after } of tasks) {
      if (before === undefined || !isNowStopping(before, after)) continue;
      const spec = records.specOf(before.serviceId, before.specVersion);
      // The tasks of a removed service are not drained, even if the service is deployed again meanwhile.
      const isRemoved = records.services.get(before.serviceId)?.removing !== false;
      if (isRemoved || spec === undefined || !receivesConnections(before, spec)) continue;
      this.#stoppingSinceMs.set(before.id, cluster.world.scheduler.nowMs);
    }
  }

  /** Checks a container that an agent is about to stop. */
  onStop(hostName: string, containerId: string): void {
    const { cluster, records, conditions, report } = this.#context;
    const host = cluster.hosts.find(({ name }) => name === hostName);
    const { taskId = "" } = host?.docker.containers.get(containerId) ?? {};
    const sinceMs = this.#stoppingSinceMs.get(taskId);
    const { nowMs } = cluster.world.scheduler;
    // After the deadline, the leader stops waiting.
    if (sinceMs === undefined || nowMs - sinceMs >= ACK_WAIT_MS) return;
    const task = records.tasks.get(taskId);
    if (task === undefined || records.services.get(task.serviceId)?.removing !== false) return;
    const spec = records.specOf(task.serviceId, task.specVersion);
    // A task that has ended or become unhealthy meanwhile is not drained.
    if (spec === undefined || !receivesConnections(task, spec)) return;
    for (const other of cluster.hosts) {
      if (!sendsTo(other, taskId) || !conditions.isHealthy(other.name)) continue;
      const what = `${hostName} stops task ${taskId} (${task.serviceName})`;
      report("I11", `${what} while ${other.name} still sends it connections`);
    }
  }
}

interface StoppingTask {
  readonly service: string;
  /** Whether each table of a host contains the task. Tables that never contained it are missing. */
  readonly sending: Map<string, boolean>;
}

/**
 * N6: a host that has stopped sending connections to a stopping task does not start again. Three cases are not
 * violations. The leader removes the tasks of a suspect node from the tables, and restores them when the node answers.
 * After a power cut, the agent starts with the tables on its disk, which may be older. A host that leaves a service's
 * networks loses its names; if it rejoins them late, it first gets the older entries.
 */
export class ResumedTraffic {
  readonly #context: CheckContext;
  readonly #stopping = new Map<string, StoppingTask>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onCommit(tasks: readonly TaskChange[]): void {
    for (const { before, after } of tasks) {
      if (before === undefined || !isNowStopping(before, after)) continue;
      const task = { service: before.serviceName, sending: new Map() };
      this.#stopping.set(before.id, task);
      for (const host of this.#context.cluster.hosts) this.#checkHost(host, before.id, task);
    }
  }

  /** Checks the tables of a host after a change. */
  onTablesChanged(hostName: string): void {
    const host = this.#context.cluster.hosts.find(({ name }) => name === hostName);
    if (host === undefined) return;
    for (const [taskId, task] of this.#stopping) this.#checkHost(host, taskId, task);
  }

  #checkHost(host: SimHost, taskId: string, { service, sending }: StoppingTask): void {
    const isInNetworks = host.names.services.some((entry) => entry.service === service);
    const byName = isInNetworks ? host.names.services : undefined;
    const tables = { port: host.table?.listeners, name: byName };
    for (const [by, table] of Object.entries(tables)) {
      const what = `${host.name} sends connections via ${by}`;
      const hadSent = sending.get(what);
      if (table === undefined) sending.delete(what);
      else if (contains(table, taskId)) {
        if (hadSent === false)
          this.#context.report(
            "N6",
            `${what} to stopping task ${taskId} again, although it had stopped doing so`,
          );
        sending.set(what, true);
      } else if (hadSent === true) {
        if (this.#isNodeSuspicious(taskId)) sending.delete(what);
        else sending.set(what, false);
      }
    }
  }

  /** Returns whether the leader may suspect the task's node, for example because the network is slow. */
  #isNodeSuspicious(taskId: string): boolean {
    const { records, cluster, conditions } = this.#context;
    const nodeId = records.tasks.get(taskId)?.nodeId;
    const host = cluster.hosts.find((each) => each.nodeId === nodeId);
    return host === undefined || !conditions.isHealthy(host.name);
  }
}

function isNowStopping(before: Task, after: Task | undefined): boolean {
  const isStopping = after === undefined || after.desiredState >= DesiredState.SHUTDOWN;
  return before.desiredState < DesiredState.SHUTDOWN && isStopping;
}

type Table = readonly { readonly endpoints: readonly { readonly id: string }[] }[];

/** Returns whether new connections through a published port or a name may reach the task. */
function sendsTo({ table, names }: SimHost, taskId: string): boolean {
  return contains(table?.listeners ?? [], taskId) || contains(names.services, taskId);
}

function contains(table: Table, taskId: string): boolean {
  return table.some(({ endpoints }) => endpoints.some(({ id }) => id === taskId));
}
