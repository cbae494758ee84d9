/** Builds records for tests. Each function fills in the fields that a test does not set. */
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
import type {
  ClusterSnapshot,
  NetworkRanges,
  NodeSnapshot,
  ReconcileContext,
  Reservation,
  ServiceSnapshot,
  ServiceTasks,
} from "../model/snapshot.js";
import { TaskIndex } from "../model/task-index.js";
import { acceptsTasks } from "../scheduler/filters.js";
import { getResourceRequest, occupiesNode, type ResourceRequest } from "../scheduler/resource-request.js";
import { SpreadIndexes } from "../scheduler/spread-index.js";

export const GIB = 1024 ** 3;
export const CPU = 1e9;

/** Part of a record. A member of a union needs at least its `$case`. */
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

export function buildNodeSnapshot(over: Partial<NodeSnapshot> = {}): NodeSnapshot {
  return {
    node: buildNode(),
    reserved: buildReservation(),
    taskCount: 0,
    hostPorts: new Set(),
    ...over,
  };
}

/** Returns the cluster with these nodes, occupied by the tasks of the given services. */
export function buildCluster(
  nodes: readonly Node[],
  services: readonly Pick<ServiceTasks, "spec" | "tasks">[] = [],
): ClusterSnapshot {
  const taken = new Map<string, ResourceRequest[]>();
  for (const { spec, tasks } of services) {
    for (const task of tasks.filter(occupiesNode)) {
      taken.set(task.nodeId, [...(taken.get(task.nodeId) ?? []), getResourceRequest(spec)]);
    }
  }
  const snapshots = nodes.map((node): readonly [string, NodeSnapshot] => [
    node.id,
    nodeSnapshot(node, taken.get(node.id) ?? []),
  ]);
  return clusterSnapshot(new Map(snapshots), taken.keys());
}

/** Returns the cluster with these nodes. `usedIds` are the nodes that tasks refer to, whether they exist or not. */
export function clusterSnapshot(
  nodes: ReadonlyMap<string, NodeSnapshot>,
  usedIds: Iterable<string> = [],
): ClusterSnapshot {
  const closed = new Set([...usedIds].filter((id) => !nodes.has(id)));
  for (const [id, snapshot] of nodes) {
    if (!acceptsTasks(snapshot)) closed.add(id);
  }
  return {
    nodes,
    spreadIndexes: new SpreadIndexes(nodes),
    unschedulableNodeIds: closed,
    networkRanges: UNLIMITED_RANGES,
  };
}

/** Networks that have a range for every node. */
export const UNLIMITED_RANGES: NetworkRanges = { hasRangeFor: () => true, subnetOf: () => undefined };

/** Returns a snapshot with its tasks indexed. By default only the current spec is kept. */
export function buildSnapshot(
  known: Pick<ServiceSnapshot, "service" | "tasks"> & Partial<ServiceSnapshot>,
): ServiceSnapshot {
  const { service, tasks } = known;
  const spec = known.spec ?? service.spec ?? buildSpec();
  const revisions = known.revisions ?? new Map([[service.version, spec]]);
  const { owners, companions } = known;
  return {
    service,
    spec,
    tasks,
    revisions,
    index: TaskIndex.of(tasks),
    ...(owners === undefined ? {} : { owners }),
    ...(companions === undefined ? {} : { companions }),
  };
}

function nodeSnapshot(node: Node, requests: readonly ResourceRequest[]): NodeSnapshot {
  const sum = (of: (request: ResourceRequest) => number): number =>
    requests.reduce((total, request) => total + of(request), 0);
  return {
    node,
    reserved: {
      nanoCpus: sum((one) => one.nanoCpus),
      memoryBytes: sum((one) => one.memoryBytes),
      pids: sum((one) => one.pids),
      generic: sumCounts(requests.map(({ generic }) => generic)),
      networks: sumCounts(requests.map(({ networks }) => networks)),
    },
    taskCount: requests.length,
    hostPorts: new Set(requests.flatMap((one) => one.hostPorts)),
  };
}

function sumCounts(counts: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const total = new Map<string, number>();
  for (const [kind, count] of counts.flatMap((each) => [...each])) {
    total.set(kind, (total.get(kind) ?? 0) + count);
  }
  return total;
}

/** Returns the context of a leader that took over long ago, for a service whose tasks may start. */
export function buildContext(over: Partial<ReconcileContext> = {}): ReconcileContext {
  return { nowMs: 1_000_000, newId: idSequence(), leaderSinceMs: 0, holdReason: "", ...over };
}

/** Returns a function that returns `a1`, `a2`, … in order. */
export function idSequence(prefix = "a"): () => string {
  let count = 0;
  return () => {
    count += 1;
    return `${prefix}${count}`;
  };
}
