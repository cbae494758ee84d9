import { assertNever } from "@berth/proto";
import { type Change, type Deletion, deletionOf, type Put } from "./change.js";
import { NodeTable } from "./node-table.js";
import { ServiceTable } from "./service-table.js";
import { TaskTable } from "./task-table.js";

/** Every record of the cluster with the indexes over them. One change costs the same, however much there is. */
export class Tables {
  readonly services = new ServiceTable();
  readonly tasks = new TaskTable();
  readonly nodes = new NodeTable();
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
        return this.services.put(change.service);
      case "delete-service":
        return this.services.delete(change.serviceId);
      case "put-name":
        this.#owners.set(change.name, change.serviceId);
        return;
      case "delete-name":
        this.#owners.delete(change.name);
        return;
      case "put-revision":
        return this.services.putSpec(change.serviceId, change.version, change.spec);
      case "delete-revision":
        return this.services.deleteSpec(change.serviceId, change.version);
      case "put-task": {
        const { task } = change;
        this.nodes.occupy(task, this.services.specOf(task.serviceId, task.specVersion));
        return this.tasks.put(task);
      }
      case "delete-task":
        this.nodes.release(change.taskId);
        return this.tasks.delete(change.taskId);
      case "put-node":
        return this.nodes.put(change.node);
      case "delete-node":
        return this.nodes.delete(change.nodeId);
      default:
        return assertNever(change);
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
      default:
        return assertNever(deletion);
    }
  }
}
