import { TaskState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ServiceSnapshot } from "../model/snapshot.js";
import {
  buildCluster,
  buildNode,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
  CPU,
} from "../testing/records.js";
import { fitTest } from "./node-capacity.js";
import { type RebalanceMove, rebalance } from "./rebalance.js";
import { getRequirements } from "./requirements.js";
import { computeServiceLoad } from "./service-load.js";
import { spreadCounts } from "./spread-counts.js";

const OPTIONS = { maxMoves: Number.POSITIVE_INFINITY, nowMs: 1_000_000 };

type Where = readonly string[];

function serviceOn(id: string, where: Where, over: Parameters<typeof buildSpec>[0] = {}): ServiceSnapshot {
  const mode = { $case: "replicated" as const, value: { replicas: where.length } };
  const spec = buildSpec({ name: id, mode, ...over });
  const tasks = where.map((nodeId, index) =>
    buildTask({
      id: `${id}.${index + 1}`,
      serviceId: id,
      serviceName: id,
      slot: index + 1,
      nodeId,
      status: { state: TaskState.RUNNING, runningSinceMs: 1 },
    }),
  );
  return buildSnapshot({ service: buildService({ id, spec }), spec, tasks });
}

const nodesOf = (count: number) =>
  Array.from({ length: count }, (_, index) =>
    buildNode({ id: `n${index + 1}`, labels: { zone: index % 2 === 0 ? "a" : "b" } }),
  );

function after(
  services: readonly ServiceSnapshot[],
  { task, toNodeId }: RebalanceMove,
): readonly ServiceSnapshot[] {
  return services.map((snapshot) => ({
    ...snapshot,
    tasks: snapshot.tasks.map((one) => (one.id === task.id ? { ...one, nodeId: toNodeId } : one)),
  }));
}

const placesOf = (moves: readonly RebalanceMove[]): readonly string[] =>
  moves.map(({ task, toNodeId }) => `${task.id} ${task.nodeId}>${toNodeId}`);

describe("rebalance", () => {
  it("moves tasks to a node that returned, of services with many tasks and with one", () => {
    const nodes = nodesOf(3);
    const services = [
      serviceOn("web", ["n1", "n1", "n1", "n2", "n2", "n2"]),
      serviceOn("a", ["n1"]),
      serviceOn("b", ["n1"]),
      serviceOn("c", ["n2"]),
    ];
    const moves = rebalance(buildCluster(nodes, services), services, OPTIONS);
    const counts = moves
      .reduce(after, services)
      .flatMap((snapshot) => snapshot.tasks.map((task) => task.nodeId));
    expect(["n1", "n2", "n3"].map((id) => counts.filter((one) => one === id).length)).toEqual([3, 3, 3]);
    expect(moves).toHaveLength(3);
    expect(moves[0]?.reason).toBe("web is uneven over nodes: 3 tasks against 0");
  });

  it("moves no more tasks than allowed, and none when the cluster is balanced", () => {
    const nodes = nodesOf(2);
    const uneven = [serviceOn("web", ["n1", "n1", "n1", "n1"])];
    expect(rebalance(buildCluster(nodes, uneven), uneven, { ...OPTIONS, maxMoves: 1 })).toHaveLength(1);
    const even = [serviceOn("web", ["n1", "n2", "n1"])];
    expect(rebalance(buildCluster(nodes, even), even, OPTIONS)).toEqual([]);
  });

  it("moves no task that is bound to its node or whose service is not stable", () => {
    const nodes = nodesOf(2);
    const crowd = ["n1", "n1", "n1"];
    const mounts = [
      { target: "/d", kind: { $case: "volume" as const, value: { name: "data", driver: "" } } },
    ];
    const settled = serviceOn("web", crowd);
    const restarting = { ...settled, tasks: settled.tasks.map((task) => ({ ...task, status: undefined })) };
    const pinned = serviceOn("pinned", crowd, { placement: { constraints: ["node.id == n1"] } });
    const sticky = serviceOn("db", crowd, { task: { container: { mounts } } });
    for (const service of [restarting, pinned, sticky]) {
      expect(placesOf(rebalance(buildCluster(nodes, [service]), [service], OPTIONS))).toEqual([]);
    }
  });

  it("only makes moves that fit and that lower the imbalance, until there are none (property)", () => {
    const where = fc.array(fc.constantFrom("n1", "n2", "n3", "n4"), { maxLength: 7 });
    const service = fc.record({
      where,
      cpus: fc.constantFrom(0, 0, 0.2),
      spread: fc.constantFrom([], ["node.labels.zone"]),
      maxReplicasPerNode: fc.constantFrom(0, 0, 7),
    });
    fc.assert(
      fc.property(fc.array(service, { maxLength: 5 }), (made) => {
        const nodes = nodesOf(4);
        let services: readonly ServiceSnapshot[] = made.map(
          ({ cpus, spread, maxReplicasPerNode, ...one }, index) =>
            serviceOn(`s${index}`, one.where, {
              task: { container: { image: "x" }, reservations: { nanoCpus: cpus * CPU } },
              placement: { spread: [...spread], maxReplicasPerNode },
            }),
        );
        const moves = rebalance(buildCluster(nodes, services), services, OPTIONS);
        expect(new Set(moves.map(({ task }) => task.id)).size).toBe(moves.length);
        for (const move of moves) {
          const moved = after(services, move);
          expect(fitsThere(move, nodes, services)).toBe(true);
          expect(isLower(imbalanceOf(move, nodes, moved), imbalanceOf(move, nodes, services))).toBe(true);
          services = moved;
        }
      }),
      { numRuns: 200 },
    );
  });
});

function serviceOf({ task }: RebalanceMove, services: readonly ServiceSnapshot[]): ServiceSnapshot {
  const snapshot = services.find(({ service }) => service.id === task.serviceId);
  if (snapshot === undefined) throw new Error("no service has the task that moves");
  return snapshot;
}

function fitsThere(
  move: RebalanceMove,
  nodes: Parameters<typeof buildCluster>[0],
  services: readonly ServiceSnapshot[],
) {
  const snapshot = serviceOf(move, services);
  const cluster = buildCluster(nodes, services);
  const load = computeServiceLoad(snapshot.tasks, snapshot.tasks, {
    isCurrent: () => true,
    nowMs: 0,
    stable: undefined,
  });
  const target = cluster.nodes.get(move.toNodeId);
  return (
    target !== undefined && fitTest({ requirements: getRequirements(snapshot.spec), load }, cluster)(target)
  );
}

/** The unevenness of the moved service at each level, then how full the two nodes are, the fuller one first. */
function imbalanceOf(
  move: RebalanceMove,
  nodes: Parameters<typeof buildCluster>[0],
  services: readonly ServiceSnapshot[],
): readonly number[] {
  const { tasks, spec } = serviceOf(move, services);
  const { spread, resources: request } = getRequirements(spec);
  const cluster = buildCluster(nodes, services);
  const { tasksByNode: staying } = computeServiceLoad(tasks, tasks, {
    isCurrent: () => true,
    nowMs: 0,
    stable: undefined,
  });
  const countsAt = spreadCounts(staying, cluster.nodes, spread);
  const levels = [...spread, "node"].map((_, level) =>
    nodes.reduce((sum, { id }) => sum + (countsAt(id)[level] ?? 0) ** 2, 0),
  );
  const fullness = [move.task.nodeId, move.toNodeId].map((id) => {
    const snapshot = cluster.nodes.get(id);
    return (request.nanoCpus > 0 ? snapshot?.reserved.nanoCpus : snapshot?.taskCount) ?? 0;
  });
  return [...levels, Math.max(...fullness), Math.min(...fullness)];
}

function isLower(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}
