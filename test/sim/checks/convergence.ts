import {
  Availability,
  DesiredState,
  NodeState,
  type Service,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import type { SimHost } from "../cluster/sim-host.js";
import { isGoodImage } from "../docker/images.js";
import { autoscaleAllowanceMs, unmetLoad } from "./autoscaling.js";
import { type CheckContext, runningContainers } from "./check-context.js";
import { isWaitingForDependency } from "./held.js";
import { jobAllowanceMs, unmetJobGoals } from "./job-convergence.js";
import { unmetNetworkGoals } from "./network-convergence.js";
import { hasNetworkRoom } from "./network-room.js";
import { isFinal, isJob, stateOf } from "./records.js";
import { replicasOf } from "./task-counts.js";
import { nodesWithVolumes } from "./volume-placement.js";

/** L1's bound. */
const SETTLE_MS = 15_000;
/** One slot of a rollout: pull, start, health, monitoring and grace of the old one. */
const ROLLOUT_STEP_MS = 4_000;
const STAYS_MS = 5_000;
/** L3's bound, and a little for the looks of this check to be apart. */
const PLACED_MS = 1_500;

/** L1, L2, L3 and I10: what has to come true once nothing goes wrong any more. */
export class Convergence {
  readonly #context: CheckContext;
  #settledSinceMs: number | undefined;
  readonly #roomSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  /** It has been as it should be for long enough. */
  get isOver(): boolean {
    return this.#settledSinceMs !== undefined && this.#nowMs - this.#settledSinceMs >= STAYS_MS;
  }

  get #nowMs(): number {
    return this.#context.cluster.world.scheduler.nowMs;
  }

  /** To be called from the end of the faults on. */
  check(): void {
    const { cluster, report } = this.#context;
    const missing = this.#missing();
    const sinceMs = this.#nowMs - cluster.world.history.healAtMs;
    const isLate = sinceMs > SETTLE_MS + this.#allowanceMs();
    // Dear to find out, and of no use while there is something else.
    const ofNetworks = missing.length === 0 || isLate ? unmetNetworkGoals(this.#context) : [];
    if (missing.length + ofNetworks.length === 0) this.#settledSinceMs ??= this.#nowMs;
    else {
      if (isLate) for (const what of missing) report("L1", what);
      if (isLate) for (const what of ofNetworks) report("N5", what);
      this.#settledSinceMs = undefined;
    }
    this.#checkPlacement();
  }

  /** What keeps the cluster from being as its users want it. Empty: nothing. */
  #missing(): readonly string[] {
    const { records, cluster } = this.#context;
    const missing: string[] = [];
    if (cluster.user.pending.size > 0) missing.push("a call has no answer");
    if (records.leader === undefined) missing.push("nobody leads");
    for (const host of cluster.hosts) {
      if (records.nodes.get(host.nodeId)?.state !== NodeState.READY)
        missing.push(`${host.name} is not ready`);
    }
    for (const service of records.services.values()) missing.push(...this.#of(service));
    for (const { host, container } of this.#strays())
      missing.push(`${container.name} is left over on ${host.name}`);
    return missing;
  }

  #of(service: Service): readonly string[] {
    const name = service.spec?.name ?? service.id;
    if (service.removing) return [`${name} is not removed yet`];
    if (isWaitingForDependency(service, this.#context)) {
      const late = (service.spec?.dependsOn ?? []).filter((each) => !this.#isThere(each.service));
      return late.length > 0 ? [] : [`${name} waits for what is there`];
    }
    const hasNoRoom = (task: Task): boolean => this.#hasNoRoom(task);
    return isJob(service.spec) ? unmetJobGoals(service, this.#context, hasNoRoom) : this.#ofService(service);
  }

  /** As everybody who waits for it wants it. */
  #isThere(name: string): boolean {
    const service = this.#context.records.serviceNamed(name);
    if (service === undefined || service.removing || this.#isPaused(service)) return false;
    const image = service.spec?.task?.container?.image ?? "";
    const isDone = service.job !== undefined && service.job.endedAtMs > 0 && !service.job.failed;
    if (isJob(service.spec)) return isDone;
    const isWaiting = this.#context.records
      .tasksOf(service.id)
      .some((task) => stateOf(task) === TaskState.NEW);
    return isGoodImage(image) && !isWaiting && this.#of(service).length === 0;
  }

  #ofService(service: Service): readonly string[] {
    const { records } = this.#context;
    const name = service.spec?.name ?? service.id;
    const running = runningContainers(this.#context).filter(
      ({ container }) => container.serviceId === service.id,
    );
    const isGlobal = service.spec?.mode?.$case === "global";
    const takers = new Set(this.#takers(service.spec).map(({ nodeId }) => nodeId));
    const tasks = records.tasksOf(service.id).filter((task) => {
      if (task.desiredState >= DesiredState.SHUTDOWN || isFinal(task)) return false;
      // A paused node keeps what it has and gets nothing for what it loses.
      return !isGlobal || task.nodeId === "" || takers.has(task.nodeId);
    });
    const image = service.spec?.task?.container?.image ?? "";
    const missing: string[] = [];
    const isPaused = this.#isPaused(service);
    const waiting = tasks.filter((task) => stateOf(task) === TaskState.NEW && this.#hasNoRoom(task)).length;
    for (const { host, container } of running) {
      const task = records.tasks.get(container.taskId);
      if (task === undefined || task.desiredState >= DesiredState.SHUTDOWN)
        missing.push(`${container.name} still runs on ${host.name}`);
      else if (
        container.version < service.templateVersion &&
        !isPaused &&
        waiting === 0 &&
        isGoodImage(image)
      )
        missing.push(`${container.name} is outdated`);
    }
    if (!isGoodImage(image)) return missing;
    // Only where nothing keeps its replicas from running.
    const unscaled = waiting === 0 && !isPaused ? unmetLoad(service, this.#context) : undefined;
    if (unscaled !== undefined) missing.push(unscaled);
    const wanted = isGlobal ? takers.size : replicasOf(service);
    const well = tasks.filter((task) => stateOf(task) === TaskState.RUNNING && this.#runs(task)).length;
    if (isPaused) return missing;
    // Start-first: what has no room waits beside the one that it is to replace.
    const isAsWanted = waiting > 0 ? well + waiting >= wanted : well === wanted && tasks.length === wanted;
    if (!isAsWanted) {
      const states = tasks
        .map((task) => `${task.slot || task.nodeId}:${stateOf(task)} ${task.status?.message ?? ""}`)
        .join("; ");
      missing.push(`${name}: ${well} of ${wanted} run and ${waiting} have no room (${states})`);
    }
    return missing;
  }

  #isPaused(service: Service): boolean {
    const state = service.rollout?.state ?? 0;
    return state === 2 || state === 5;
  }

  /** By Docker's word. */
  #runs(task: Task): boolean {
    return runningContainers(this.#context).some(({ container }) => container.taskId === task.id);
  }

  /** Hosts that new tasks of a service may go to. */
  #takers(spec: ServiceSpec | undefined): readonly SimHost[] {
    const { records, cluster } = this.#context;
    const needsNetworks = (spec?.task?.networks ?? []).some(({ optional }) => !optional);
    return cluster.hosts.filter(({ nodeId }) => {
      const { availability, description } = records.nodes.get(nodeId) ?? {};
      const isAble = !needsNetworks || description?.dataPlane?.overlay === true;
      return availability === Availability.ACTIVE && isAble;
    });
  }

  /** I10 among them: containers of services that are gone. */
  #strays(): ReturnType<typeof runningContainers> {
    const { records, cluster } = this.#context;
    return cluster.hosts.flatMap((host) =>
      [...host.docker.containers.values()]
        .filter(({ taskId, serviceId }) => {
          // Runs of a schedule come and go all the time.
          const isScheduled = records.services.get(serviceId)?.spec?.cron !== undefined;
          return taskId !== "" && !records.tasks.has(taskId) && !isScheduled;
        })
        .map((container) => ({ host, container })),
    );
  }

  #checkPlacement(): void {
    const { records, report } = this.#context;
    const waiting = new Set<string>();
    for (const task of records.tasks.values()) {
      if (stateOf(task) !== TaskState.NEW || task.desiredState >= DesiredState.SHUTDOWN) continue;
      if (this.#hasNoRoom(task) || task.status?.message.startsWith("waiting for")) continue;
      // Meant for one node, though its record does not say for which.
      const { mode } = records.specOf(task.serviceId, task.specVersion) ?? {};
      if (mode?.$case === "globalJob") continue;
      waiting.add(task.id);
      const sinceMs = this.#roomSinceMs.get(task.id) ?? this.#nowMs;
      this.#roomSinceMs.set(task.id, sinceMs);
      if (this.#nowMs - sinceMs > PLACED_MS) {
        report(
          "L3",
          `task ${task.id} (${task.serviceName}.${task.slot}) has room and waits: ${task.status?.message}`,
        );
      }
    }
    for (const id of this.#roomSinceMs.keys()) if (!waiting.has(id)) this.#roomSinceMs.delete(id);
  }

  #hasNoRoom(task: Task): boolean {
    const { records } = this.#context;
    const spec = records.specOf(task.serviceId, task.specVersion);
    const memory = spec?.task?.reservations?.memoryBytes ?? 0;
    const volumes = (spec?.task?.container?.mounts ?? []).flatMap(({ kind }) =>
      kind?.$case === "volume" ? [kind.value.name] : [],
    );
    const homes = nodesWithVolumes(this.#context, volumes);
    return ![...records.nodes.values()].some((node) => {
      if (node.state !== NodeState.READY || node.availability !== Availability.ACTIVE) return false;
      if (node.description?.engineReady !== true || homes?.has(node.id) === false) return false;
      const there = [...records.tasks.values()].filter(
        (other) => other.nodeId === node.id && !isFinal(other),
      );
      const isHere = there.some(({ serviceId }) => serviceId === task.serviceId);
      if (spec?.mode?.$case === "global" && isHere) return false;
      const specs = there.map((other) => records.specOf(other.serviceId, other.specVersion));
      const reserved = specs.reduce((sum, other) => sum + (other?.task?.reservations?.memoryBytes ?? 0), 0);
      const taken = new Set(
        specs.flatMap((other) =>
          (other?.ports ?? []).filter(({ mode }) => mode === 2).map((port) => port.published),
        ),
      );
      const ports = (spec?.ports ?? []).filter(({ mode }) => mode === 2);
      return (
        hasNetworkRoom(this.#context, { spec, node, there: specs }) &&
        reserved + memory <= (node.description?.memoryBytes ?? 0) &&
        !ports.some(({ published }) => taken.has(published))
      );
    });
  }

  #allowanceMs(): number {
    let longest = 0;
    for (const service of this.#context.records.services.values()) {
      const parallelism = (service.spec?.update?.parallelism ?? 1) || Number.POSITIVE_INFINITY;
      const slots = Math.max(replicasOf(service), 3);
      longest = Math.max(longest, Math.ceil(slots / parallelism) * ROLLOUT_STEP_MS);
    }
    return longest + jobAllowanceMs(this.#context) + autoscaleAllowanceMs(this.#context);
  }
}
