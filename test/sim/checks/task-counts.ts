import { Availability, DesiredState, PortSpec_Mode, type Service, UpdateConfig_Order } from "@berth/proto";
import {
  type CheckContext,
  describeContainer,
  type RunningContainer,
  runningContainers,
} from "./check-context.js";
import { isCompanion } from "./companions.js";
import { isFinal, isJob } from "./records.js";

/** Maximum time to scale a service, including grace periods. */
const SCALE_MS = 10_000;
/** Maximum time until a task whose drain was revoked, or its replacement, has stopped. */
const REVOKED_DRAIN_MS = 10_000;

/** I1, I2 and I4: how many tasks run, and where. */
export class TaskCounts {
  readonly #context: CheckContext;
  /** Earlier replica counts that are still allowed, by service. */
  readonly #wanted = new Map<string, { readonly replicas: number; readonly untilMs: number }[]>();
  /** When each node was last drained. */
  readonly #drainedAtMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  /** Records the replica count of a service's former record. Called when the service changes or is removed. */
  noteWanted(service: Service): void {
    const list = this.#wanted.get(service.id) ?? [];
    list.push({
      replicas: replicasOf(service),
      untilMs: this.#context.cluster.world.scheduler.nowMs + SCALE_MS,
    });
    this.#wanted.set(service.id, list);
  }

  check(): void {
    const { conditions: contact, records, cluster } = this.#context;
    for (const { id, availability } of records.nodes.values()) {
      if (availability === Availability.DRAIN) this.#drainedAtMs.set(id, cluster.world.scheduler.nowMs);
    }
    const all = runningContainers(this.#context);
    this.#atMostOne(all.filter(({ host }) => contact.hasResponsiveAgent(host.name)));
    const running = all.filter(({ host }) => !contact.isDisrupted(host.name));
    for (const [serviceId, ofService] of groupBy(running, ({ container }) => container.serviceId)) {
      this.#slots(serviceId, ofService);
      this.#total(serviceId, ofService);
    }
    for (const [, ofHost] of groupBy(running, ({ host }) => host.name)) this.#load(ofHost);
  }

  /** Checks at-most-one tasks on all hosts, including disconnected ones: their agents stop these tasks in time. */
  #atMostOne(running: readonly RunningContainer[]): void {
    const { records, report } = this.#context;
    const strict = running.filter(({ container }) => {
      return records.specOf(container.serviceId, container.version)?.atMostOne === true;
    });
    for (const copies of groupBy(
      strict,
      ({ container: { serviceId, slot } }) => `${serviceId}.${slot}`,
    ).values()) {
      if (copies.length > 1)
        report(
          "I1",
          `an at-most-one task is running more than once: ${copies.map(describeContainer).join(", ")}`,
        );
    }
  }

  #slots(serviceId: string, running: readonly RunningContainer[]): void {
    const { records, report } = this.#context;
    const service = records.services.get(serviceId);
    const slotOf = ({ host, container }: RunningContainer): string => {
      const run = records.runs.get(container.taskId) ?? 0;
      const slot = container.slot === 0 ? `node ${host.name}` : String(container.slot);
      return run === 0 ? slot : `${slot} of run ${run}`;
    };
    for (const [slot, copies] of groupBy(running, slotOf)) {
      const mayOverlap = !isJob(service?.spec) && copies.length === 2 && this.#mayOverlap(service, copies);
      if (copies.length < 2 || mayOverlap) continue;
      const names = copies.map(describeContainer).join(", ");
      report(
        "I1",
        `${copies.length} tasks of ${service?.spec?.name ?? serviceId} slot ${slot} run: ${names}`,
      );
    }
  }

  /** Returns whether copies are allowed: with start-first, a new task runs beside the one that it replaces. */
  #mayOverlap(service: Service | undefined, copies: readonly RunningContainer[]): boolean {
    const { records } = this.#context;
    const owners = copies.map(({ container }) => JSON.stringify(records.tasks.get(container.taskId)?.owners));
    // The companion of a new task starts before the old task and its companion stop.
    if (isCompanion(service?.spec) && new Set(owners).size === copies.length) return true;
    const orders = new Set(
      copies.map(({ container }) => isStartFirst(records.specOf(container.serviceId, container.version))),
    );
    if (service !== undefined) orders.add(isStartFirst(service.spec));
    if (!orders.has(true)) return false;
    const [left, right] = copies.map(({ container }) => records.tasks.get(container.taskId));
    if (left === undefined || right === undefined) return true;
    return (
      left.specVersion !== right.specVersion ||
      [left, right].some(
        (task) =>
          task.desiredState >= DesiredState.SHUTDOWN ||
          task.preferredNodeId !== "" ||
          isFinal(task) ||
          this.#wasDrained(task.nodeId),
      )
    );
  }

  /** Returns whether the node is drained or was until recently, so that replacements of its tasks may already run. */
  #wasDrained(nodeId: string): boolean {
    const drainedAtMs = this.#drainedAtMs.get(nodeId) ?? Number.NEGATIVE_INFINITY;
    return this.#context.cluster.world.scheduler.nowMs - drainedAtMs < REVOKED_DRAIN_MS;
  }

  #total(serviceId: string, running: readonly RunningContainer[]): void {
    const { records, report, cluster } = this.#context;
    const service = records.services.get(serviceId);
    // A companion has as many tasks as its owner, whose tasks are checked.
    if (service?.spec?.mode?.$case !== "replicated" || service.removing || isCompanion(service.spec)) return;
    const { nowMs } = cluster.world.scheduler;
    const recent = (this.#wanted.get(serviceId) ?? []).filter(({ untilMs }) => untilMs >= nowMs);
    this.#wanted.set(serviceId, recent);
    const replicas = Math.max(replicasOf(service), ...recent.map((each) => each.replicas));
    const surge = isStartFirst(service.spec) ? (service.spec.update?.parallelism ?? 1) || replicas : 0;
    // The tasks of a drained node and rebalanced tasks are all moved at once, with start-first.
    const moving = isStartFirst(service.spec)
      ? running.filter(({ host, container }) => {
          return (
            this.#wasDrained(host.nodeId) ||
            (records.tasks.get(container.taskId)?.preferredNodeId ?? "") !== ""
          );
        }).length
      : 0;
    const wanted = running.filter(({ container }) => {
      const task = records.tasks.get(container.taskId);
      return task !== undefined && task.desiredState < DesiredState.SHUTDOWN && !isFinal(task);
    });
    if (wanted.length > replicas + surge + moving) {
      const what = `${wanted.length} tasks of ${service.spec.name} are running and should run: ${wanted.map(describeContainer).join(", ")}`;
      report("I2", `${what}; at most ${replicas} replicas and ${surge} additional tasks may`);
    }
  }

  #load(running: readonly RunningContainer[]): void {
    const { report } = this.#context;
    const host = running[0]?.host;
    if (host === undefined) return;
    const reserved = running.reduce(
      (sum, { container }) => sum + (container.body.HostConfig.MemoryReservation ?? 0),
      0,
    );
    if (reserved > host.memoryBytes) {
      report(
        "I4",
        `${host.name} is over-committed: ${reserved} of ${host.memoryBytes} bytes by ${running.map(describeContainer).join(", ")}`,
      );
    }
  }
}

export function isStartFirst(spec: Service["spec"]): boolean {
  const order = spec?.update?.order ?? UpdateConfig_Order.UNSPECIFIED;
  if (order !== UpdateConfig_Order.UNSPECIFIED) return order === UpdateConfig_Order.START_FIRST;
  return spec?.atMostOne !== true && spec?.ports.some(({ mode }) => mode === PortSpec_Mode.HOST) !== true;
}

/** Returns the number of replicas, considering autoscaling. */
export function replicasOf({ spec, autoscale }: Service): number {
  const replicas = spec?.mode?.$case === "replicated" ? spec.mode.value.replicas : 0;
  if (spec?.autoscale === undefined) return replicas;
  const { min, max } = spec.autoscale;
  return Math.min(Math.max(autoscale?.replicas ?? replicas, min), max);
}

export function groupBy<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
