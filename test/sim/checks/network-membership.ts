import { type Network, type Node, parseSubnet, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import { networkLayout } from "../../../packages/control-plane/src/core/allocator/address-pool.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import { networkIdOf } from "../docker/sim-networks.js";
import type { CheckContext } from "./check-context.js";
import { isFinal, type RecordChange, stateOf } from "./records.js";

/** N3: a task has its networks when it is placed and when it runs. N4: a network in use is not removed. */
export class NetworkMembership {
  readonly #context: CheckContext;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onChange({ tasks, removedNetworks }: RecordChange): void {
    for (const { before, after } of tasks) {
      if (after !== undefined && after.nodeId !== "" && before?.nodeId !== after.nodeId) {
        this.#checkRanges(after);
      }
    }
    for (const network of removedNetworks) this.#checkRemoval(network);
  }

  /** Checks that a node's range of a network is written no later than the task that needs it. */
  #checkRanges(task: Task): void {
    const { records, report } = this.#context;
    if (stateOf(task) === TaskState.NEW) return;
    const networks = records.specOf(task.serviceId, task.specVersion)?.task?.networks ?? [];
    for (const { network: name, optional } of networks) {
      if (optional) continue;
      const network = records.networkNamed(name);
      const what = `task ${task.id} (${task.serviceName}.${task.slot}) is placed on ${task.nodeId}`;
      if (network === undefined) report("N3", `${what}, but network ${name} does not exist`);
      else if (!records.ranges.has(`${network.id}/${task.nodeId}`)) {
        report("N3", `${what}, which has no range of network ${name}`);
      }
    }
  }

  #checkRemoval({ id, spec }: Network): void {
    const { records, report } = this.#context;
    const name = spec?.name ?? "";
    // A new network with this name was created before the unused one was removed.
    if (records.networkNamed(name) !== undefined) return;
    for (const task of records.tasks.values()) {
      if (isFinal(task) || task.nodeId === "") continue;
      const isMember = networkNames(records.specOf(task.serviceId, task.specVersion)).includes(name);
      if (isMember) report("N4", `network ${name} (${id}) was removed while task ${task.id} is in it`);
    }
    for (const service of records.services.values()) {
      if (networkNames(service.spec).includes(name)) {
        report("N4", `network ${name} (${id}) was removed while ${service.id} uses it`);
      }
    }
  }

  /** Compares the networks that Docker has connected with the current ones, by ID instead of by name. */
  onStarted(hostName: string, container: SimContainer): void {
    const { cluster, records, conditions } = this.#context;
    const host = cluster.hosts.find(({ name }) => name === hostName);
    const spec = records.specOf(container.serviceId, container.version);
    if (host === undefined || spec === undefined) return;
    for (const { network: name, optional } of spec.task?.networks ?? []) {
      // A host without overlay support may skip it, and so may a host whose support the leader does not know yet.
      if (optional && (!this.#hasOverlay(host) || !conditions.isHealthy(hostName))) continue;
      this.#checkEndpoint(host, container, name);
    }
  }

  #checkEndpoint(host: SimHost, container: SimContainer, name: string): void {
    const { records, report, conditions } = this.#context;
    const endpoint = host.docker.networks.endpointsOf(container).find(({ network }) => network.name === name);
    const what = `${container.name} runs on ${host.name}`;
    if (endpoint === undefined) {
      report("N3", `${what} without network ${name}`);
      return;
    }
    const id = networkIdOf(endpoint.network.body);
    const currentId = records.networkNamed(name)?.id;
    // A host that was disconnected may not know the new network yet.
    if (id === currentId || conditions.isDisrupted(host.name)) return;
    report("N3", `${what} in ${id || "a foreign network"} as ${name}, which is ${currentId ?? "removed"}`);
  }

  #hasOverlay({ nodeId }: SimHost): boolean {
    return this.#context.records.nodes.get(nodeId)?.description?.dataPlane?.overlay === true;
  }
}

/** Returns the names of a spec's overlay networks. */
export function networkNames(spec: ServiceSpec | undefined): readonly string[] {
  return (spec?.task?.networks ?? []).map(({ network }) => network);
}

/**
 * Returns whether a node supports a spec's networks and has free addresses in them, in addition to those of `onNode`.
 */
export function hasNetworkCapacity(
  { records }: CheckContext,
  {
    spec,
    node,
    onNode,
  }: {
    readonly spec: ServiceSpec | undefined;
    readonly node: Node;
    readonly onNode: readonly (ServiceSpec | undefined)[];
  },
): boolean {
  const hasOverlay = node.description?.dataPlane?.overlay === true;
  return (spec?.task?.networks ?? []).every(({ network: name, optional }) => {
    if (!hasOverlay) return optional;
    const network = records.networkNamed(name);
    const subnet = parseSubnet(network?.subnet ?? "");
    if (network === undefined || subnet === undefined) return false;
    const { addressesPerRange, firstRange, endRange } = networkLayout(subnet);
    const ranges = records.rangesOf(network.id);
    const canHaveRange =
      ranges.some(({ nodeId }) => nodeId === node.id) || ranges.length < endRange - firstRange;
    const used = onNode.filter((other) => networkNames(other).includes(name)).length;
    return used < addressesPerRange && (canHaveRange || optional);
  });
}
