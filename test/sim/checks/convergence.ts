import {
  Availability,
  DesiredState,
  NodeState,
  ownerNames,
  PortSpec_Mode,
  Rollout_State,
  type Service,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import type { SimHost } from "../cluster/sim-host.js";
import { isGoodImage } from "../docker/images.js";
import { autoscaleAllowanceMs, unmetLoad } from "./autoscaling.js";
import { type CheckContext, runningContainers } from "./check-context.js";
import { isCompanion, unmetCompanionGoals } from "./companions.js";
import { isWaitingForDependency } from "./dependencies.js";
import { jobAllowanceMs, unmetJobGoals } from "./job-convergence.js";
import { unmetNetworkGoals } from "./network-convergence.js";
import { hasNetworkCapacity } from "./network-membership.js";
import { isFinal, isJob, stateOf } from "./records.js";
import { replicasOf } from "./task-counts.js";
import { nodesWithVolumes } from "./volume-placement.js";

/** Time limit of rule L1, excluding the time that rollouts take. */
const CONVERGE_MS = 15_000;
/** Time for one batch of a rollout: pull, start, health check, monitoring, and the grace period of the old task. */
const ROLLOUT_BATCH_MS = 4_000;
/** How long the cluster must stay converged. */
const STABLE_MS = 5_000;
/** Time limit of rule L3, plus the interval at which this check runs. */
const PLACEMENT_MS = 1_500;

/** L1, L2, L3, I10 and N5: the state that the cluster must reach once faults have stopped. */
export class Convergence {
  readonly #context: CheckContext;
  #convergedSinceMs: number | undefined;
  /** When each pending task first had a node with capacity. */
  readonly #placeableSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  /** Whether the cluster has stayed converged for long enough. */
  get isOver(): boolean {
    return this.#convergedSinceMs !== undefined && this.#nowMs - this.#convergedSinceMs >= STABLE_MS;
  }

  get #nowMs(): number {
    return this.#context.cluster.world.scheduler.nowMs;
  }

  /** Called repeatedly once faults have stopped. */
  check(): void {
    const { cluster, report } = this.#context;
    const unmet = this.#unmetGoals();
    const sinceMs = this.#nowMs - cluster.world.history.healAtMs;
    const isLate = sinceMs > CONVERGE_MS + this.#allowanceMs();
    // Compare networks last, because the comparison is slow.
    const unmetNetworks = unmet.length === 0 || isLate ? unmetNetworkGoals(this.#context) : [];
    if (unmet.length + unmetNetworks.length === 0) this.#convergedSinceMs ??= this.#nowMs;
    else {
      if (isLate) for (const what of unmet) report("L1", what);
      if (isLate) for (const what of unmetNetworks) report("N5", what);
      this.#convergedSinceMs = undefined;
    }
    this.#checkPlacement();
  }

  /** Returns a line for each difference from the desired state. */
  #unmetGoals(): readonly string[] {
    const { records, cluster } = this.#context;
    const unmet: string[] = [];
    if (cluster.user.pending.size > 0) unmet.push("a call has not been answered");
    if (records.leader === undefined) unmet.push("there is no leader");
    for (const host of cluster.hosts) {
      if (records.nodes.get(host.nodeId)?.state !== NodeState.READY) unmet.push(`${host.name} is not ready`);
    }
    for (const service of records.services.values()) unmet.push(...this.#unmetOfService(service));
    for (const { host, container } of this.#orphans()) {
      unmet.push(`${container.name} is left over on ${host.name}`);
    }
    return unmet;
  }

  #unmetOfService(service: Service): readonly string[] {
    const name = service.spec?.name ?? service.id;
    if (service.removing) return [`${name} is not removed yet`];
    if (isWaitingForDependency(service, this.#context)) {
      const open = (service.spec?.dependsOn ?? []).filter((each) => !this.#isDependencyMet(each.service));
      return open.length > 0 ? [] : [`${name} waits for a dependency that is met`];
    }
    const lacksNode = (task: Task): boolean => !this.#hasCandidate(task);
    if (isCompanion(service.spec)) return this.#unmetOfCompanion(service);
    return isJob(service.spec)
      ? unmetJobGoals(service, this.#context, lacksNode)
      : this.#unmetOfReplicas(service);
  }

  /** Returns whether a service meets every condition that dependent services may specify. */
  #isDependencyMet(name: string): boolean {
    const service = this.#context.records.serviceNamed(name);
    if (service === undefined || service.removing || isPaused(service)) return false;
    const image = service.spec?.task?.container?.image ?? "";
    const isDone = service.job !== undefined && service.job.endedAtMs > 0 && !service.job.failed;
    if (isJob(service.spec)) return isDone;
    const isPending = this.#context.records
      .tasksOf(service.id)
      .some((task) => stateOf(task) === TaskState.NEW);
    return isGoodImage(image) && !isPending && this.#unmetOfService(service).length === 0;
  }

  /** Checks that a companion has as many tasks as its owner, unless the tasks of either keep failing. */
  #unmetOfCompanion(service: Service): readonly string[] {
    const [name = ""] = service.spec === undefined ? [] : ownerNames(service.spec);
    const owner = this.#context.records.serviceNamed(name);
    const isFailing = (each: Service | undefined): boolean =>
      each !== undefined && (isPaused(each) || !isGoodImage(each.spec?.task?.container?.image ?? ""));
    return isFailing(owner) || isFailing(service) ? [] : unmetCompanionGoals(service, owner, this.#context);
  }

  #unmetOfReplicas(service: Service): readonly string[] {
    const { records } = this.#context;
    const name = service.spec?.name ?? service.id;
    const image = service.spec?.task?.container?.image ?? "";
    const isGlobal = service.spec?.mode?.$case === "global";
    const eligible = new Set(this.#eligibleHosts(service.spec).map(({ nodeId }) => nodeId));
    const tasks = records.tasksOf(service.id).filter((task) => {
      if (task.desiredState >= DesiredState.SHUTDOWN || isFinal(task)) return false;
      // A paused node keeps its tasks and gets no replacements.
      return !isGlobal || task.nodeId === "" || eligible.has(task.nodeId);
    });
    const pending = tasks.filter(
      (task) => stateOf(task) === TaskState.NEW && !this.#hasCandidate(task),
    ).length;
    const unmet = [...this.#surplusContainers(service, pending)];
    if (!isGoodImage(image)) return unmet;
    // Compare the replica count only if nothing prevents the replicas from running.
    const load = pending === 0 && !isPaused(service) ? unmetLoad(service, this.#context) : undefined;
    if (load !== undefined) unmet.push(load);
    if (isPaused(service)) return unmet;
    const wanted = isGlobal ? eligible.size : replicasOf(service);
    const running = tasks.filter((task) => stateOf(task) === TaskState.RUNNING && this.#runs(task)).length;
    // With start-first, a task without a node waits beside the task that it replaces.
    const isMet = pending > 0 ? running + pending >= wanted : running === wanted && tasks.length === wanted;
    if (!isMet) {
      const states = tasks
        .map((task) => `${task.slot || task.nodeId}:${stateOf(task)} ${task.status?.message ?? ""}`)
        .join("; ");
      unmet.push(`${name}: ${running} of ${wanted} run and ${pending} have no node (${states})`);
    }
    return unmet;
  }

  /** Returns running containers that should have been stopped or replaced. */
  #surplusContainers(service: Service, pending: number): readonly string[] {
    const { records } = this.#context;
    const image = service.spec?.task?.container?.image ?? "";
    const isRolloutDue = !isPaused(service) && pending === 0 && isGoodImage(image);
    return runningContainers(this.#context).flatMap(({ host, container }) => {
      if (container.serviceId !== service.id) return [];
      const task = records.tasks.get(container.taskId);
      if (task === undefined || task.desiredState >= DesiredState.SHUTDOWN) {
        return [`${container.name} still runs on ${host.name}`];
      }
      const isOutdated = isRolloutDue && container.version < service.templateVersion;
      return isOutdated ? [`${container.name} is outdated`] : [];
    });
  }

  /** Returns whether the task's container is running, according to Docker. */
  #runs(task: Task): boolean {
    return runningContainers(this.#context).some(({ container }) => container.taskId === task.id);
  }

  /** Returns the hosts that new tasks of a service may be placed on. */
  #eligibleHosts(spec: ServiceSpec | undefined): readonly SimHost[] {
    const { records, cluster } = this.#context;
    const needsNetworks = (spec?.task?.networks ?? []).some(({ optional }) => !optional);
    return cluster.hosts.filter(({ nodeId }) => {
      const { availability, description } = records.nodes.get(nodeId) ?? {};
      const hasNetworks = !needsNetworks || description?.dataPlane?.overlay === true;
      return availability === Availability.ACTIVE && hasNetworks;
    });
  }

  /** Returns containers without a task record, including those of removed services (I10). */
  #orphans(): ReturnType<typeof runningContainers> {
    const { records, cluster } = this.#context;
    return cluster.hosts.flatMap((host) =>
      [...host.docker.containers.values()]
        .filter(({ taskId, serviceId }) => {
          // The runs of a cron job come and go all the time.
          const isCron = records.services.get(serviceId)?.spec?.cron !== undefined;
          return taskId !== "" && !records.tasks.has(taskId) && !isCron;
        })
        .map((container) => ({ host, container })),
    );
  }

  #checkPlacement(): void {
    const { records, report } = this.#context;
    const placeable = new Set<string>();
    for (const task of records.tasks.values()) {
      if (stateOf(task) !== TaskState.NEW || task.desiredState >= DesiredState.SHUTDOWN) continue;
      if (!this.#hasCandidate(task) || task.status?.message.startsWith("waiting for")) continue;
      // A companion waits for its owner's node.
      if (isCompanion(records.specOf(task.serviceId, task.specVersion))) continue;
      // The task is meant for one node, but its record does not name the node yet.
      const { mode } = records.specOf(task.serviceId, task.specVersion) ?? {};
      if (mode?.$case === "globalJob") continue;
      placeable.add(task.id);
      const sinceMs = this.#placeableSinceMs.get(task.id) ?? this.#nowMs;
      this.#placeableSinceMs.set(task.id, sinceMs);
      if (this.#nowMs - sinceMs > PLACEMENT_MS) {
        const name = `${task.serviceName}.${task.slot}`;
        report("L3", `a node has capacity for task ${task.id} (${name}): ${task.status?.message}`);
      }
    }
    for (const id of this.#placeableSinceMs.keys()) {
      if (!placeable.has(id)) this.#placeableSinceMs.delete(id);
    }
  }

  /** Returns whether some node could run the task now. */
  #hasCandidate(task: Task): boolean {
    const { records } = this.#context;
    const spec = records.specOf(task.serviceId, task.specVersion);
    const memory = spec?.task?.reservations?.memoryBytes ?? 0;
    const ports = hostPorts(spec);
    const volumes = (spec?.task?.container?.mounts ?? []).flatMap(({ kind }) =>
      kind?.$case === "volume" ? [kind.value.name] : [],
    );
    const withVolumes = nodesWithVolumes(this.#context, volumes);
    return [...records.nodes.values()].some((node) => {
      if (node.state !== NodeState.READY || node.availability !== Availability.ACTIVE) return false;
      if (node.description?.engineReady !== true || withVolumes?.has(node.id) === false) return false;
      const onNode = [...records.tasks.values()].filter(({ nodeId }) => nodeId === node.id);
      if (spec?.mode?.$case === "global" && onNode.some((other) => holdsGlobalSlot(other, task)))
        return false;
      const specs = onNode
        .filter((other) => !isFinal(other))
        .map((other) => records.specOf(other.serviceId, other.specVersion));
      const reserved = specs.reduce((sum, other) => sum + (other?.task?.reservations?.memoryBytes ?? 0), 0);
      const takenPorts = new Set(specs.flatMap(hostPorts));
      return (
        hasNetworkCapacity(this.#context, { spec, node, onNode: specs }) &&
        reserved + memory <= (node.description?.memoryBytes ?? 0) &&
        !ports.some((port) => takenPorts.has(port))
      );
    });
  }

  #allowanceMs(): number {
    let longest = 0;
    for (const service of this.#context.records.services.values()) {
      const parallelism = (service.spec?.update?.parallelism ?? 1) || Number.POSITIVE_INFINITY;
      const slots = Math.max(replicasOf(service), 3);
      longest = Math.max(longest, Math.ceil(slots / parallelism) * ROLLOUT_BATCH_MS);
    }
    return longest + jobAllowanceMs(this.#context) + autoscaleAllowanceMs(this.#context);
  }
}

/**
 * Returns whether the node's slot of a global service belongs to another task. A task that failed holds it too: its
 * replacement on the same node waits for the restart delay.
 */
function holdsGlobalSlot(other: Task, { serviceId }: Task): boolean {
  return other.serviceId === serviceId && (!isFinal(other) || other.desiredState < DesiredState.SHUTDOWN);
}

function isPaused({ rollout }: Service): boolean {
  return rollout?.state === Rollout_State.PAUSED || rollout?.state === Rollout_State.ROLLBACK_PAUSED;
}

function hostPorts(spec: ServiceSpec | undefined): readonly number[] {
  const ports = (spec?.ports ?? []).filter(({ mode }) => mode === PortSpec_Mode.HOST);
  return ports.map(({ published }) => published);
}
