import {
  assertNever,
  type Network,
  type NetworkRange,
  type Node,
  type Service,
  type ServiceSpec,
  type Task,
  type VirtualIp,
} from "@berth/proto";
import {
  nameKey,
  networkKey,
  nodeKey,
  parseKey,
  rangeKey,
  revisionKey,
  serviceKey,
  taskKey,
  vipKey,
} from "../store/keys.js";

/** One record written or deleted: the only way in which the cluster's state changes, in memory and in the store alike. */
export type Change = Put | Deletion;

export type Put =
  | { readonly kind: "put-service"; readonly service: Service }
  /** Who owns a service name: the guard against two services of one name. */
  | { readonly kind: "put-name"; readonly name: string; readonly serviceId: string }
  /** The spec of one version of a service. */
  | {
      readonly kind: "put-revision";
      readonly serviceId: string;
      readonly version: number;
      readonly spec: ServiceSpec;
    }
  | { readonly kind: "put-task"; readonly task: Task }
  | { readonly kind: "put-node"; readonly node: Node }
  | { readonly kind: "put-network"; readonly network: Network }
  | { readonly kind: "put-range"; readonly range: NetworkRange }
  | { readonly kind: "put-vip"; readonly vip: VirtualIp };

export type Deletion =
  | { readonly kind: "delete-service"; readonly serviceId: string }
  | { readonly kind: "delete-name"; readonly name: string }
  | { readonly kind: "delete-revision"; readonly serviceId: string; readonly version: number }
  | { readonly kind: "delete-task"; readonly serviceId: string; readonly taskId: string }
  | { readonly kind: "delete-node"; readonly nodeId: string }
  | { readonly kind: "delete-network"; readonly networkId: string }
  | { readonly kind: "delete-range"; readonly networkId: string; readonly nodeId: string }
  | { readonly kind: "delete-vip"; readonly networkId: string; readonly serviceId: string };

/** The deletion of the record that a change is about. */
export function deletionOf(change: Change): Deletion {
  switch (change.kind) {
    case "put-service":
      return { kind: "delete-service", serviceId: change.service.id };
    case "put-name":
      return { kind: "delete-name", name: change.name };
    case "put-revision":
      return { kind: "delete-revision", serviceId: change.serviceId, version: change.version };
    case "put-task":
      return { kind: "delete-task", serviceId: change.task.serviceId, taskId: change.task.id };
    case "put-node":
      return { kind: "delete-node", nodeId: change.node.id };
    case "put-network":
      return { kind: "delete-network", networkId: change.network.id };
    case "put-range":
      return { kind: "delete-range", networkId: change.range.networkId, nodeId: change.range.nodeId };
    case "put-vip":
      return { kind: "delete-vip", networkId: change.vip.networkId, serviceId: change.vip.serviceId };
    default:
      return change;
  }
}

/** The store key that a change writes. */
export function changeKey(change: Change): string {
  const record = deletionOf(change);
  switch (record.kind) {
    case "delete-service":
      return serviceKey(record.serviceId);
    case "delete-name":
      return nameKey(record.name);
    case "delete-revision":
      return revisionKey(record.serviceId, record.version);
    case "delete-task":
      return taskKey(record.serviceId, record.taskId);
    case "delete-node":
      return nodeKey(record.nodeId);
    case "delete-network":
      return networkKey(record.networkId);
    case "delete-range":
      return rangeKey(record.networkId, record.nodeId);
    case "delete-vip":
      return vipKey(record.networkId, record.serviceId);
    default:
      return assertNever(record);
  }
}

/** The deletion of the record under a key; undefined for a key that holds none (the leader, a server, foreign keys). */
export function deletionUnder(key: string): Deletion | undefined {
  const parsed = parseKey(key);
  switch (parsed?.kind) {
    case "service":
      return { kind: "delete-service", serviceId: parsed.serviceId };
    case "name":
      return { kind: "delete-name", name: parsed.serviceName };
    case "revision":
      return { kind: "delete-revision", serviceId: parsed.serviceId, version: parsed.version };
    case "task":
      return { kind: "delete-task", serviceId: parsed.serviceId, taskId: parsed.taskId };
    case "node":
      return { kind: "delete-node", nodeId: parsed.nodeId };
    case "network":
      return { kind: "delete-network", networkId: parsed.networkId };
    case "range":
      return { kind: "delete-range", networkId: parsed.networkId, nodeId: parsed.nodeId };
    case "vip":
      return { kind: "delete-vip", networkId: parsed.networkId, serviceId: parsed.serviceId };
    default:
      return undefined;
  }
}
