import { type Network, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import { networkIdOf } from "../docker/sim-networks.js";
import { isFinal, type RecordChange, stateOf } from "./records.js";
import type { Scene } from "./scene.js";

/** N3 and half of N4: tasks have their networks, when they get their node and when they run. */
export class Memberships {
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  onChange({ tasks, networksGone }: RecordChange): void {
    for (const { before, after } of tasks) {
      if (after !== undefined && after.nodeId !== "" && before?.nodeId !== after.nodeId)
        this.#checkPlaced(after);
    }
    for (const network of networksGone) this.#checkGone(network);
  }

  /** The host's part of a network is written no later than the task that needs it. */
  #checkPlaced(task: Task): void {
    const { records, report } = this.#scene;
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
    const { records, report } = this.#scene;
    const name = spec?.name ?? "";
    // Made again, and in use again, before the one that was unused had gone.
    if (records.networkNamed(name) !== undefined) return;
    for (const task of records.tasks.values()) {
      if (isFinal(task) || task.nodeId === "") continue;
      const isIn = namesIn(records.specOf(task.serviceId, task.specVersion)).includes(name);
      if (isIn) report("N4", `network ${name} (${id}) is gone, and task ${task.id} is in it`);
    }
    for (const service of records.services.values()) {
      if (namesIn(service.spec).includes(name))
        report("N4", `network ${name} (${id}) is gone, and ${service.id} uses it`);
    }
  }

  /** By Docker's word: the networks that there are now, not others of their names. */
  onStarted(hostName: string, container: SimContainer): void {
    const { cluster, records, contact } = this.#scene;
    const host = cluster.hosts.find(({ name }) => name === hostName);
    const spec = records.specOf(container.serviceId, container.version);
    if (host === undefined || spec === undefined) return;
    for (const { network: name, optional } of spec.task?.networks ?? []) {
      // Those that cannot have it do without; the others do when the leader knows what they can.
      if (optional && (this.#isPlain(host) || !contact.isWell(hostName))) continue;
      this.#checkIn(host, container, name);
    }
  }

  #checkIn(host: SimHost, container: SimContainer, name: string): void {
    const { records, report, contact } = this.#scene;
    const endpoint = host.docker.networks.endpointsOf(container).find(({ network }) => network.name === name);
    const what = `${container.name} runs on ${host.name}`;
    if (endpoint === undefined) {
      report("N3", `${what} without network ${name}`);
      return;
    }
    const id = networkIdOf(endpoint.network.body);
    const known = records.networkNamed(name)?.id;
    // Who is cut off may not have heard of it.
    if (id === known || contact.isExcused(host.name)) return;
    report("N3", `${what} in ${id || "a foreign network"} as ${name}, which is ${known ?? "gone"}`);
  }

  #isPlain({ nodeId }: SimHost): boolean {
    return this.#scene.records.nodes.get(nodeId)?.description?.dataPlane?.overlay !== true;
  }
}

export function namesIn(spec: ServiceSpec | undefined): readonly string[] {
  return (spec?.task?.networks ?? []).map(({ network }) => network);
}

function neededNames(spec: ServiceSpec | undefined): readonly string[] {
  return (spec?.task?.networks ?? []).filter(({ optional }) => !optional).map(({ network }) => network);
}
