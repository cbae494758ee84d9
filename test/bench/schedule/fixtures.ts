import {
  Availability,
  DesiredState,
  Node,
  NodeState,
  Service,
  ServiceSpec,
  Task,
  TaskState,
} from "@berth/proto";
import type { ServiceSnapshot } from "../../../packages/control-plane/src/core/model/snapshot.js";
import { buildSnapshot, UNLIMITED_RANGES } from "../../../packages/control-plane/src/core/testing/records.js";
import { NodeTable } from "../../../packages/control-plane/src/state/node-table.js";

const GIB = 1024 ** 3;
const CPU = 1e9;
/** Node sizes. `busy` is the number of tasks of another service that the node already runs. */
const SIZES = [
  { cpus: 4, gib: 16, busy: 0 },
  { cpus: 8, gib: 32, busy: 3 },
  { cpus: 16, gib: 64, busy: 1 },
  { cpus: 8, gib: 32, busy: 0 },
] as const;
const ZONES = 3;
const RACKS = 30;
const BUSY = ServiceSpec.fromPartial({ task: { reservations: { nanoCpus: CPU / 4, memoryBytes: GIB } } });

/** Builds nodes of different sizes and loads. 5,000 of them have room for a million tasks of `buildService`. */
export function buildNodes(count: number): NodeTable {
  const nodes = new NodeTable(UNLIMITED_RANGES);
  for (let index = 0; index < count; index += 1) {
    const size = SIZES[index % SIZES.length] ?? SIZES[0];
    const node = nodeOf(index, size);
    nodes.put(node);
    for (let task = 0; task < size.busy; task += 1) {
      nodes.occupy(runningTask(`busy-${node.id}-${task}`, node.id), BUSY);
    }
  }
  return nodes;
}

/** Builds a new service. */
export function buildService(name: string, replicas: number, isSpread: boolean): ServiceSnapshot {
  const spec = ServiceSpec.fromPartial({
    name,
    stack: "bench",
    mode: { $case: "replicated", value: { replicas } },
    // Small, so that all tasks fit.
    task: {
      container: { image: "web:1" },
      reservations: { nanoCpus: CPU / 1_000, memoryBytes: GIB / 1_024 },
    },
    placement: { spread: isSpread ? ["node.labels.zone", "node.labels.rack"] : [] },
  });
  const service = Service.fromPartial({ id: name, spec, version: 1, templateVersion: 1 });
  return buildSnapshot({ service, tasks: [] });
}

function nodeOf(index: number, size: { readonly cpus: number; readonly gib: number }): Node {
  return Node.fromPartial({
    // Scattered like real IDs, and the same each time.
    id: `n${(Math.imul(index + 1, 0x9e3779b1) >>> 0).toString(36)}`,
    availability: Availability.ACTIVE,
    state: NodeState.READY,
    labels: { zone: `z${index % ZONES}`, rack: `r${index % RACKS}` },
    description: {
      hostname: `host-${index}`,
      os: "linux",
      architecture: "x86_64",
      nanoCpus: size.cpus * CPU,
      memoryBytes: size.gib * GIB,
      engineReady: true,
    },
  });
}

function runningTask(id: string, nodeId: string): Task {
  const status = { state: TaskState.RUNNING };
  return Task.fromPartial({ id, nodeId, desiredState: DesiredState.RUNNING, status });
}
