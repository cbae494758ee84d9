import { Availability, NodeState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Filter, filtersFor, type Need, needOf } from "./filters.js";
import type { ClusterView, NodeView } from "./model.js";
import { explain, fits, place, type ServiceLoad } from "./schedule.js";
import { buildNode, buildSpec, buildView, CPU, GIB } from "./test-records.js";

const NO_LOAD: ServiceLoad = { staying: new Map(), held: new Map() };
const clusterOf = (views: readonly NodeView[]): ClusterView => ({
  nodes: new Map(views.map((view) => [view.node.id, view])),
});

/** Places one task after the other, looking at every node each time. */
function placeSlowly(count: number, need: Need, load: ServiceLoad, cluster: ClusterView): readonly string[] {
  const filters = filtersFor(need);
  const views = new Map(cluster.nodes);
  const staying = new Map(load.staying);
  const held = new Map(load.held);
  const nodeIds: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const fitting = [...views.values()].filter((view) =>
      filters.every((filter: Filter) => filter.room(view, held.get(view.node.id) ?? 0) > 0),
    );
    const best = fitting.sort(
      (a, b) =>
        (staying.get(a.node.id) ?? 0) - (staying.get(b.node.id) ?? 0) ||
        share(a) - share(b) ||
        a.taskCount - b.taskCount ||
        (a.node.id < b.node.id ? -1 : 1),
    )[0];
    if (best === undefined) break;
    const { id } = best.node;
    nodeIds.push(id);
    staying.set(id, (staying.get(id) ?? 0) + 1);
    held.set(id, (held.get(id) ?? 0) + 1);
    views.set(id, withTask(best, need));
  }
  return nodeIds;
}

function withTask(view: NodeView, { demand }: Need): NodeView {
  return {
    node: view.node,
    taskCount: view.taskCount + 1,
    hostPorts: new Set([...view.hostPorts, ...demand.hostPorts]),
    reserved: {
      nanoCpus: view.reserved.nanoCpus + demand.nanoCpus,
      memoryBytes: view.reserved.memoryBytes + demand.memoryBytes,
    },
  };
}

function share({ node, reserved }: NodeView): number {
  const { nanoCpus = 0, memoryBytes = 0 } = node.description ?? {};
  return Math.max(
    nanoCpus === 0 ? 0 : reserved.nanoCpus / nanoCpus,
    memoryBytes === 0 ? 0 : reserved.memoryBytes / memoryBytes,
  );
}

const view = fc.record({
  cpus: fc.integer({ min: 0, max: 8 }),
  gib: fc.integer({ min: 0, max: 16 }),
  usedCpus: fc.integer({ min: 0, max: 4 }),
  usedGib: fc.integer({ min: 0, max: 4 }),
  tasks: fc.nat(5),
  port: fc.constantFrom("", "", "tcp//80", "tcp/192.0.2.1/80", "udp//80"),
  zone: fc.constantFrom("a", "a", "b"),
  availability: fc.constantFrom(
    Availability.ACTIVE,
    Availability.ACTIVE,
    Availability.PAUSE,
    Availability.DRAIN,
  ),
  state: fc.constantFrom(NodeState.READY, NodeState.READY, NodeState.DOWN),
  engineReady: fc.constantFrom(true, true, false),
  staying: fc.nat(3),
  stopping: fc.nat(1),
});

const situation = fc
  .record({
    views: fc.array(view, { maxLength: 12 }),
    count: fc.nat(40),
    cpus: fc.constantFrom(0, 0.5, 1),
    gib: fc.constantFrom(0, 0.25, 2),
    max: fc.constantFrom(0, 1, 4),
    zone: fc.constantFrom("", "a"),
    port: fc.constantFrom("", "", "192.0.2.1", "192.0.2.2", "0.0.0.0"),
  })
  .map((made) => {
    const views = made.views.map((one, index) =>
      buildView({
        node: buildNode({
          id: `n${index}`,
          labels: { zone: one.zone },
          availability: one.availability,
          state: one.state,
          description: { nanoCpus: one.cpus * CPU, memoryBytes: one.gib * GIB, engineReady: one.engineReady },
        }),
        reserved: { nanoCpus: one.usedCpus * CPU, memoryBytes: one.usedGib * GIB },
        taskCount: one.tasks,
        hostPorts: new Set(one.port === "" ? [] : [one.port]),
      }),
    );
    const spec = buildSpec({
      task: { reservations: { nanoCpus: made.cpus * CPU, memoryBytes: made.gib * GIB } },
      placement: {
        maxReplicasPerNode: made.max,
        constraints: made.zone === "" ? [] : [`node.labels.zone == ${made.zone}`],
      },
      ports: made.port === "" ? [] : [{ target: 80, published: 80, protocol: 1, mode: 2, hostIp: made.port }],
    });
    const load = {
      staying: new Map(made.views.map((one, index) => [`n${index}`, one.staying])),
      held: new Map(made.views.map((one, index) => [`n${index}`, one.staying + one.stopping])),
    };
    return { cluster: clusterOf(views), need: needOf(spec), count: made.count, load };
  });

describe("place()", () => {
  it("chooses exactly what looking at every node for every task would choose", () => {
    fc.assert(
      fc.property(situation, ({ cluster, need, count, load }) => {
        expect(place({ count, need, load }, cluster).nodeIds).toEqual(
          placeSlowly(count, need, load, cluster),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("gives a reason exactly when a task got no node, and counts every node in it", () => {
    fc.assert(
      fc.property(situation, ({ cluster, need, count, load }) => {
        const { nodeIds, reason } = place({ count, need, load }, cluster);
        expect(reason === "").toBe(nodeIds.length === count);
        if (reason === "" || cluster.nodes.size === 0) return;
        const counted = [...reason.matchAll(/(\d+) nodes? /g)].reduce((sum, [, n]) => sum + Number(n), 0);
        expect(counted).toBe(cluster.nodes.size);
      }),
    );
  });

  it("says so when there are no nodes", () => {
    const { reason } = place({ count: 1, need: needOf(buildSpec()), load: NO_LOAD }, clusterOf([]));
    expect(reason).toBe("there are no nodes");
  });

  it("explains every obstacle in words", () => {
    const spec = buildSpec({
      task: {
        container: { platform: "linux/amd64" },
        reservations: { nanoCpus: 1.5 * CPU, memoryBytes: GIB / 2 },
      },
      placement: { constraints: ["node.labels.zone == a"], maxReplicasPerNode: 1 },
      ports: [{ target: 80, published: 8080, protocol: 1, mode: 2 }],
    });
    const labels = { zone: "a" };
    const nodes = [
      buildView({ node: buildNode({ id: "a", state: NodeState.DOWN }) }),
      buildView({ node: buildNode({ id: "b", availability: Availability.DRAIN }) }),
      buildView({ node: buildNode({ id: "c", availability: Availability.PAUSE }) }),
      buildView({ node: buildNode({ id: "d", description: { engineReady: false } }) }),
      buildView({ node: buildNode({ id: "e", description: { architecture: "aarch64" } }) }),
      buildView({ node: buildNode({ id: "f" }) }),
      buildView({ node: buildNode({ id: "g", labels }), hostPorts: new Set(["tcp//8080"]) }),
      buildView({ node: buildNode({ id: "h", labels }) }),
      buildView({ node: buildNode({ id: "i", labels }), reserved: { nanoCpus: 3 * CPU, memoryBytes: 0 } }),
      buildView({ node: buildNode({ id: "j", labels, description: { memoryBytes: 1 } }) }),
      buildView({ node: buildNode({ id: "k", labels, description: { memoryBytes: 1 } }) }),
    ];
    const load = { staying: new Map(), held: new Map([["h", 1]]) };
    expect(explain(nodes, needOf(spec), load).split(", ")).toEqual([
      "1 node is down",
      "1 node is drained",
      "1 node is paused",
      "1 node cannot reach its Docker",
      "1 node is not linux/amd64",
      "1 node does not meet node.labels.zone == a",
      "1 node has no free host port for tcp 8080",
      "1 node has the 1 task of the service allowed per node",
      "1 node lacks 1.5 CPUs",
      "2 nodes lack 512 MiB of memory",
    ]);
  });

  it("does not stop at the first service: a busy node is used less", () => {
    const busy = buildView({ node: buildNode({ id: "a" }), taskCount: 9 });
    const idle = buildView({ node: buildNode({ id: "b" }) });
    const { nodeIds } = place(
      { count: 1, need: needOf(buildSpec()), load: NO_LOAD },
      clusterOf([busy, idle]),
    );
    expect(nodeIds).toEqual(["b"]);
  });
});

describe("fits()", () => {
  it("looks at the one node alone", () => {
    const need = needOf(buildSpec({ task: { reservations: { memoryBytes: 8 * GIB } } }));
    expect(fits(buildView(), need, NO_LOAD)).toBe(true);
    expect(fits(buildView({ reserved: { nanoCpus: 0, memoryBytes: 1 } }), need, NO_LOAD)).toBe(false);
  });
});
