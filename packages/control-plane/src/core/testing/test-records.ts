/** Records for tests: each function fills in what a test does not care about. */
import {
  Availability,
  DesiredState,
  Node,
  NodeDescription,
  NodeState,
  Service,
  ServiceSpec,
  Task,
  TaskState,
} from "@berth/proto";
import type { ClusterView, NodeView, Reservation, ServiceView } from "../model.js";
import { occupiesNode, type ResourceRequest, resourceRequestOf } from "../scheduler/resource-request.js";

export const GIB = 1024 ** 3;
export const CPU = 1e9;

/** Any part of a record; of a union's member at least which one it is. */
type Part<T> = T extends { $case: infer Case; value: infer Value }
  ? { $case: Case; value: Part<Value> }
  : T extends readonly (infer Item)[]
    ? Part<Item>[]
    : T extends object
      ? { [Key in keyof T]?: Part<T[Key]> }
      : T;

export function buildSpec(over: Part<ServiceSpec> = {}): ServiceSpec {
  return ServiceSpec.fromPartial({
    name: "shop_web",
    stack: "shop",
    mode: { $case: "replicated", value: { replicas: 1 } },
    task: { container: { image: "web:1" } },
    ...over,
  });
}

export function buildService(over: Part<Service> = {}): Service {
  const { version = 1 } = over;
  const known = { version, templateVersion: 1, healthyVersion: version };
  return Service.fromPartial({ id: "s1", spec: buildSpec(), ...known, ...over });
}

export function buildTask(over: Part<Task> = {}): Task {
  return Task.fromPartial({
    id: "t1",
    serviceId: "s1",
    serviceName: "shop_web",
    stack: "shop",
    slot: 1,
    nodeId: "n1",
    specVersion: 1,
    desiredState: DesiredState.RUNNING,
    status: { state: TaskState.RUNNING },
    ...over,
  });
}

export function buildNode(over: Part<Node> = {}): Node {
  const { description, ...rest } = over;
  return Node.fromPartial({
    id: "n1",
    availability: Availability.ACTIVE,
    state: NodeState.READY,
    ...rest,
    description: NodeDescription.fromPartial({
      hostname: rest.id ?? "n1",
      address: "192.0.2.1",
      os: "linux",
      architecture: "x86_64",
      nanoCpus: 4 * CPU,
      memoryBytes: 8 * GIB,
      engineReady: true,
      ...description,
    }),
  });
}

export const buildReservation = (over: Partial<Reservation> = {}): Reservation => ({
  nanoCpus: 0,
  memoryBytes: 0,
  pids: 0,
  generic: new Map(),
  networks: new Map(),
  ...over,
});

export function buildView(over: Partial<NodeView> = {}): NodeView {
  return {
    node: buildNode(),
    reserved: buildReservation(),
    taskCount: 0,
    hostPorts: new Set(),
    ...over,
  };
}

/** The nodes as the tasks of the given services leave them. */
export function buildCluster(nodes: readonly Node[], views: readonly ServiceView[] = []): ClusterView {
  const taken = new Map<string, ResourceRequest[]>();
  for (const view of views) {
    for (const task of view.tasks.filter(occupiesNode)) {
      taken.set(task.nodeId, [...(taken.get(task.nodeId) ?? []), resourceRequestOf(view.spec)]);
    }
  }
  return { nodes: new Map(nodes.map((node) => [node.id, nodeView(node, taken.get(node.id) ?? [])])) };
}

function nodeView(node: Node, demands: readonly ResourceRequest[]): NodeView {
  const sum = (of: (demand: ResourceRequest) => number): number =>
    demands.reduce((total, one) => total + of(one), 0);
  return {
    node,
    reserved: {
      nanoCpus: sum((one) => one.nanoCpus),
      memoryBytes: sum((one) => one.memoryBytes),
      pids: sum((one) => one.pids),
      generic: sumOf(demands.map(({ generic }) => generic)),
      networks: sumOf(demands.map(({ networks }) => networks)),
    },
    taskCount: demands.length,
    hostPorts: new Set(demands.flatMap((one) => one.hostPorts)),
  };
}

function sumOf(counts: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const total = new Map<string, number>();
  for (const [kind, count] of counts.flatMap((each) => [...each])) {
    total.set(kind, (total.get(kind) ?? 0) + count);
  }
  return total;
}

/** `a1`, `a2`, …: ids that tell the order in which they were made. */
export function idSequence(prefix = "a"): () => string {
  let count = 0;
  return () => {
    count += 1;
    return `${prefix}${count}`;
  };
}
