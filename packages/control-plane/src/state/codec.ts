import {
  assertNever,
  Network,
  NetworkRange,
  Node,
  Service,
  ServiceSpec,
  Task,
  VirtualIp,
} from "@berth/proto";
import { type ParsedKey, parseKey } from "../store/keys.js";
import type { Entry } from "../store/store.js";
import type { Change, Put } from "./change.js";

/** What a store entry says. */
export type Decoded =
  | { readonly kind: "put"; readonly put: Put }
  /** Not a record of the cluster: the leader, a server, the schema, or something of a newer berth. */
  | { readonly kind: "other" }
  /** A record that this berth cannot read: to be reported and left alone. */
  | { readonly kind: "unreadable"; readonly reason: string };

/** The value that a change puts under its key, as JSON that a person can read; undefined when it deletes. */
export function encodeValue(change: Change): string | undefined {
  switch (change.kind) {
    case "put-service":
      return JSON.stringify(Service.toJSON(change.service));
    case "put-name":
      return JSON.stringify({ serviceId: change.serviceId });
    case "put-revision":
      return JSON.stringify(ServiceSpec.toJSON(change.spec));
    case "put-task":
      return JSON.stringify(Task.toJSON(change.task));
    case "put-node":
      return JSON.stringify(Node.toJSON(change.node));
    case "put-network":
      return JSON.stringify(Network.toJSON(change.network));
    case "put-range":
      return JSON.stringify(NetworkRange.toJSON(change.range));
    case "put-vip":
      return JSON.stringify(VirtualIp.toJSON(change.vip));
    case "delete-service":
    case "delete-name":
    case "delete-revision":
    case "delete-task":
    case "delete-node":
    case "delete-network":
    case "delete-range":
    case "delete-vip":
      return undefined;
    default:
      return assertNever(change);
  }
}

/** Reads an entry as the put that wrote it. Never throws: what people and other versions put into etcd is input. */
export function decodeEntry(entry: Entry): Decoded {
  const key = parseKey(entry.key);
  if (key === undefined) return { kind: "other" };
  try {
    const put = decodePut(key, entry.value);
    return put === undefined ? { kind: "other" } : { kind: "put", put };
  } catch (error) {
    return { kind: "unreadable", reason: error instanceof Error ? error.message : String(error) };
  }
}

function decodePut(key: ParsedKey, value: string): Put | undefined {
  switch (key.kind) {
    case "service": {
      const service = Service.fromJSON(parseObject(value));
      expectSame(service.id, key.serviceId);
      if (service.spec === undefined) throw new Error("the service has no spec");
      return { kind: "put-service", service };
    }
    case "name": {
      const { serviceId } = parseObject(value);
      if (typeof serviceId !== "string") throw new Error("the name has no serviceId");
      return { kind: "put-name", name: key.serviceName, serviceId };
    }
    case "revision":
      return {
        kind: "put-revision",
        serviceId: key.serviceId,
        version: key.version,
        spec: ServiceSpec.fromJSON(parseObject(value)),
      };
    case "task": {
      const task = Task.fromJSON(parseObject(value));
      expectSame(task.id, key.taskId);
      expectSame(task.serviceId, key.serviceId);
      if (task.status === undefined) throw new Error("the task has no status");
      return { kind: "put-task", task };
    }
    case "node": {
      const node = Node.fromJSON(parseObject(value));
      expectSame(node.id, key.nodeId);
      return { kind: "put-node", node };
    }
    case "network":
    case "range":
    case "vip":
      return decodeNetworking(key, parseObject(value));
    case "schema":
    case "leader":
    case "server":
      return undefined;
    default:
      return assertNever(key);
  }
}

function decodeNetworking(
  key: Extract<ParsedKey, { readonly networkId: string }>,
  value: Readonly<Record<string, unknown>>,
): Put {
  if (key.kind === "network") {
    const network = Network.fromJSON(value);
    expectSame(network.id, key.networkId);
    if (network.spec === undefined) throw new Error("the network has no spec");
    return { kind: "put-network", network };
  }
  if (key.kind === "range") {
    const range = NetworkRange.fromJSON(value);
    expectSame(range.networkId, key.networkId);
    expectSame(range.nodeId, key.nodeId);
    return { kind: "put-range", range };
  }
  const vip = VirtualIp.fromJSON(value);
  expectSame(vip.networkId, key.networkId);
  expectSame(vip.serviceId, key.serviceId);
  return { kind: "put-vip", vip };
}

function parseObject(value: string): Readonly<Record<string, unknown>> {
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed !== "object" || parsed === null) throw new Error("the value is no JSON object");
  return parsed as Readonly<Record<string, unknown>>;
}

function expectSame(inValue: string, inKey: string): void {
  if (inValue !== inKey)
    throw new Error(`the value is about ${JSON.stringify(inValue)}, its key about ${inKey}`);
}
