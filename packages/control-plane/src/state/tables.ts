import { assertNever } from "@berth/proto";
import { type Change, type Deletion, deletionOf, type Put } from "./change.js";
import { NetworkTable } from "./network-table.js";
import { NodeTable } from "./node-table.js";
import { ServiceTable } from "./service-table.js";
import { TaskTable } from "./task-table.js";

/** Every record of the cluster with the indexes over them. One change costs the same, however much there is. */
export class Tables {
  readonly services = new ServiceTable();
  readonly tasks = new TaskTable();
  readonly networks = new NetworkTable();
  readonly nodes = new NodeTable(this.networks);
  readonly #owners = new Map<string, string>();

  /** Id of the service that owns a name. */
  ownerOf(name: string): string | undefined {
    return this.#owners.get(name);
  }

  /** Makes a change and returns the one that undoes it; undefined for the deletion of what is not there. */
  write(change: Change): Change | undefined {
    const deletion = deletionOf(change);
    const before = this.#recordOf(deletion);
    if (before === undefined && deletion === change) return undefined;
    this.#write(change);
    return before ?? deletion;
  }

  #write(change: Change): void {
    switch (change.kind) {
      case "put-service":
        this.services.put(change.service);
        return;
      case "delete-service":
        this.services.delete(change.serviceId);
        return;
      case "put-name":
        this.#owners.set(change.name, change.serviceId);
        return;
      case "delete-name":
        this.#owners.delete(change.name);
        return;
      case "put-revision":
        this.services.putSpec(change.serviceId, change.version, change.spec);
        return;
      case "delete-revision":
        this.services.deleteSpec(change.serviceId, change.version);
        return;
      case "put-task": {
        const { task } = change;
        this.nodes.occupy(task, this.services.specOf(task.serviceId, task.specVersion));
        this.tasks.put(task);
        return;
      }
      case "delete-task":
        this.nodes.release(change.taskId);
        this.tasks.delete(change.taskId);
        return;
      case "put-node":
        this.nodes.put(change.node);
        return;
      case "delete-node":
        this.nodes.delete(change.nodeId);
        return;
      case "put-network":
        this.networks.put(change.network);
        return;
      case "delete-network":
        this.networks.delete(change.networkId);
        return;
      case "put-range":
        this.networks.ranges.put(change.range);
        return;
      case "delete-range":
        this.networks.ranges.delete(change.networkId, change.nodeId);
        return;
      case "put-vip":
        this.networks.vips.put(change.vip);
        return;
      case "delete-vip":
        this.networks.vips.delete(change.networkId, change.serviceId);
        return;
      default:
        assertNever(change);
    }
  }

  /** The record that a deletion would delete, as the put that would bring it back. */
  #recordOf(deletion: Deletion): Put | undefined {
    switch (deletion.kind) {
      case "delete-service": {
        const service = this.services.get(deletion.serviceId);
        return service && { kind: "put-service", service };
      }
      case "delete-name": {
        const serviceId = this.#owners.get(deletion.name);
        return serviceId === undefined ? undefined : { kind: "put-name", name: deletion.name, serviceId };
      }
      case "delete-revision": {
        const { serviceId, version } = deletion;
        const spec = this.services.specOf(serviceId, version);
        return spec && { kind: "put-revision", serviceId, version, spec };
      }
      case "delete-task": {
        const task = this.tasks.get(deletion.taskId);
        return task && { kind: "put-task", task };
      }
      case "delete-node": {
        const node = this.nodes.get(deletion.nodeId);
        return node && { kind: "put-node", node };
      }
      case "delete-network": {
        const network = this.networks.get(deletion.networkId);
        return network && { kind: "put-network", network };
      }
      case "delete-range": {
        const range = this.networks.ranges.get(deletion.networkId, deletion.nodeId);
        return range && { kind: "put-range", range };
      }
      case "delete-vip": {
        const vip = this.networks.vips.get(deletion.networkId, deletion.serviceId);
        return vip && { kind: "put-vip", vip };
      }
      default:
        return assertNever(deletion);
    }
  }
}
