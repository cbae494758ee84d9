import { type Network, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import { networkIdOf } from "../docker/sim-networks.js";
import type { CheckContext } from "./check-context.js";
import { isFinal, type RecordChange, stateOf } from "./records.js";

/** N3 and half of N4: tasks have their networks, when they get their node and when they run. */
export class NetworkMembership {
  readonly #context: CheckContext;

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onChange({ tasks, removedNetworks: networksGone }: RecordChange): void {
    for (const { before, after } of tasks) {
      if (after !== undefined && after.nodeId !== "" && before?.nodeId !== after.nodeId)
        this.#checkPlaced(after);
    }
    for (const network of networksGone) this.#checkGone(network);
  }

  /** The host's part of a network is written no later than the task that needs it. */
  #checkPlaced(task: Task): void {
    const { records, report } = this.#context;
    if (stateOf(task) === TaskState.NEW) return;
    for (const name of neededNames(records.specOf(task.serviceId, task.specVersion))) {
      const network = records.networkNamed(name);
      const what = `task ${task.id} (${task.serviceName}.${task.slot}) is placed on ${task.nodeId}`;
      if (network === undefined) report("N3", `${what}, and there is no network ${name}`);
      else if (!records.ranges.has(`${network.id}/${task.nodeId}`)) {
        report("N3", `${what}, which has no part of network ${name}`);
      }
    }
  }

  #checkGone({ id, spec }: Network): void {
    const { records, report } = this.#context;
    const name = spec?.name ?? "";
    // Made again, and in use again, before the one that was unused had gone.
    if (records.networkNamed(name) !== undefined) return;
    for (const task of records.tasks.values()) {
      if (isFinal(task) || task.nodeId === "") continue;
      const isIn = networkNames(records.specOf(task.serviceId, task.specVersion)).includes(name);
      if (isIn) report("N4", `network ${name} (${id}) is gone, and task ${task.id} is in it`);
    }
    for (const service of records.services.values()) {
      if (networkNames(service.spec).includes(name))
        report("N4", `network ${name} (${id}) is gone, and ${service.id} uses it`);
    }
  }

  /** By Docker's word: the networks that there are now, not others of their names. */
  onStarted(hostName: string, container: SimContainer): void {
    const { cluster, records, conditions: contact } = this.#context;
    const host = cluster.hosts.find(({ name }) => name === hostName);
    const spec = records.specOf(container.serviceId, container.version);
    if (host === undefined || spec === undefined) return;
    for (const { network: name, optional } of spec.task?.networks ?? []) {
      // Those that cannot have it do without; the others do when the leader knows what they can.
      if (optional && (this.#isPlain(host) || !contact.isHealthy(hostName))) continue;
      this.#checkIn(host, container, name);
    }
  }

  #checkIn(host: SimHost, container: SimContainer, name: string): void {
    const { records, report, conditions: contact } = this.#context;
    const endpoint = host.docker.networks.endpointsOf(container).find(({ network }) => network.name === name);
    const what = `${container.name} runs on ${host.name}`;
    if (endpoint === undefined) {
      report("N3", `${what} without network ${name}`);
      return;
    }
    const id = networkIdOf(endpoint.network.body);
    const known = records.networkNamed(name)?.id;
    // Who is cut off may not have heard of it.
    if (id === known || contact.isDisrupted(host.name)) return;
    report("N3", `${what} in ${id || "a foreign network"} as ${name}, which is ${known ?? "gone"}`);
  }

  #isPlain({ nodeId }: SimHost): boolean {
    return this.#context.records.nodes.get(nodeId)?.description?.dataPlane?.overlay !== true;
  }
}

export function networkNames(spec: ServiceSpec | undefined): readonly string[] {
  return (spec?.task?.networks ?? []).map(({ network }) => network);
}

function neededNames(spec: ServiceSpec | undefined): readonly string[] {
  return (spec?.task?.networks ?? []).filter(({ optional }) => !optional).map(({ network }) => network);
}
