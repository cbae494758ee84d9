import {
  Availability,
  NodeState,
  type PortSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  VolumePolicy,
} from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import {
  buildNode,
  buildNodeSnapshot,
  buildReservation,
  buildSpec,
  CPU,
  clusterSnapshot,
  GIB,
} from "../testing/records.js";
import type { Filter } from "./filter.js";
import { filtersFor } from "./filters.js";
import { explainNoCapacity, fitTest } from "./node-capacity.js";
import { type PlacementRequest, place } from "./place.js";
import { getRequirements, type TaskRequirements } from "./requirements.js";
import type { ServiceLoad } from "./service-load.js";
import { spreadPath } from "./spread-counts.js";

const NO_LOAD: ServiceLoad = { tasksByNode: new Map(), occupiedByNode: new Map(), avoided: new Map() };
const clusterWith = (snapshots: readonly NodeSnapshot[]): ClusterSnapshot =>
  clusterSnapshot(new Map(snapshots.map((snapshot) => [snapshot.node.id, snapshot])));

/** Places one task after the other, looking at every node and every task each time; the preferredNodeIds first. */
function placeSlowly(
  { count, requirements, load, preferredNodeIds = [] }: PlacementRequest,
  cluster: ClusterSnapshot,
): { readonly nodeIds: readonly string[]; readonly onPreferred: readonly string[] } {
  const filters = filtersFor(requirements, cluster);
  const snapshots = new Map(cluster.nodes);
  const staying = new Map(load.tasksByNode);
  const held = new Map(load.occupiedByNode);
  const nodeIds: string[] = [];
  const groupOf = (snapshot: NodeSnapshot, level: number): string =>
    JSON.stringify(spreadPath(snapshot.node, requirements.spread.slice(0, level + 1)));
  const rankOf = (snapshot: NodeSnapshot): readonly (number | string)[] => [
    load.avoided.get(snapshot.node.id) ?? 0,
    ...requirements.spread.map((_, level) =>
      [...snapshots.values()]
        .filter((other) => groupOf(other, level) === groupOf(snapshot, level))
        .reduce((sum, other) => sum + (staying.get(other.node.id) ?? 0), 0),
    ),
    staying.get(snapshot.node.id) ?? 0,
    share(snapshot),
    snapshot.taskCount,
    snapshot.node.id,
  ];
  const fits = (snapshot: NodeSnapshot): boolean =>
    filters.every((filter: Filter) => filter.capacity(snapshot, held.get(snapshot.node.id) ?? 0) > 0);
  const take = (snapshot: NodeSnapshot): void => {
    const { id } = snapshot.node;
    staying.set(id, (staying.get(id) ?? 0) + 1);
    held.set(id, (held.get(id) ?? 0) + 1);
    snapshots.set(id, withTask(snapshot, requirements));
  };
  const onPreferred = preferredNodeIds.filter((id) => {
    const snapshot = snapshots.get(id);
    if (snapshot === undefined || !fits(snapshot)) return false;
    take(snapshot);
    return true;
  });
  while (nodeIds.length + onPreferred.length < count) {
    const [best] = [...snapshots.values()]
      .filter(fits)
      .map((snapshot) => ({ snapshot, rank: rankOf(snapshot) }))
      .sort((a, b) => compare(a.rank, b.rank));
    if (best === undefined) break;
    nodeIds.push(best.snapshot.node.id);
    take(best.snapshot);
  }
  return { nodeIds, onPreferred };
}

function compare(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return (a[at] ?? 0) < (b[at] ?? 0) ? -1 : 1;
}

function withTask(snapshot: NodeSnapshot, { resources: request }: TaskRequirements): NodeSnapshot {
  const { reserved } = snapshot;
  const generic = new Map(reserved.generic);
  for (const [kind, count] of request.generic) generic.set(kind, (generic.get(kind) ?? 0) + count);
  const networks = new Map(reserved.networks);
  for (const [name, count] of request.networks) networks.set(name, (networks.get(name) ?? 0) + count);
  return {
    node: snapshot.node,
    taskCount: snapshot.taskCount + 1,
    hostPorts: new Set([...snapshot.hostPorts, ...request.hostPorts]),
    reserved: {
      nanoCpus: reserved.nanoCpus + request.nanoCpus,
      memoryBytes: reserved.memoryBytes + request.memoryBytes,
      pids: reserved.pids + request.pids,
      generic,
      networks,
    },
  };
}

function share({ node, reserved }: NodeSnapshot): number {
  const { nanoCpus = 0, memoryBytes = 0 } = node.description ?? {};
  return Math.max(
    nanoCpus === 0 ? 0 : reserved.nanoCpus / nanoCpus,
    memoryBytes === 0 ? 0 : reserved.memoryBytes / memoryBytes,
  );
}

const nodeConditions = fc.record({
  cpus: fc.integer({ min: 0, max: 8 }),
  gib: fc.integer({ min: 0, max: 16 }),
  pids: fc.constantFrom(0, 0, 100),
  gpus: fc.nat(3),
  usedCpus: fc.integer({ min: 0, max: 4 }),
  usedGib: fc.integer({ min: 0, max: 4 }),
  tasks: fc.nat(5),
  port: fc.constantFrom("", "", "tcp//80", "tcp/192.0.2.1/80", "udp//80"),
  listens: fc.constantFrom("", "", "192.0.2.1", "0.0.0.0"),
  zone: fc.constantFrom("a", "a", "b", undefined),
  rack: fc.constantFrom("1", "2"),
  hasVolume: fc.constantFrom(true, false, false),
  availability: fc.constantFrom(
    Availability.ACTIVE,
    Availability.ACTIVE,
    Availability.PAUSE,
    Availability.DRAIN,
  ),
  state: fc.constantFrom(NodeState.READY, NodeState.READY, NodeState.DOWN),
  engineReady: fc.constantFrom(true, true, false),
  hasOverlay: fc.constantFrom(true, true, false, undefined),
  hasKey: fc.boolean(),
  protocol: fc.constantFrom(0, 2, 2),
  usedAddresses: fc.nat(3),
  addresses: fc.constantFrom([], ["192.0.2.1"], ["192.0.2.1", "192.0.2.2"]),
  current: fc.nat(3),
  stopping: fc.nat(1),
  avoided: fc.constantFrom(0, 0, 0, 1, 5),
});

const situation = fc
  .record({
    nodes: fc.array(nodeConditions, { maxLength: 12 }),
    count: fc.nat(40),
    cpus: fc.constantFrom(0, 0.5, 1),
    gib: fc.constantFrom(0, 0.25, 2),
    pids: fc.constantFrom(0, 0, 30),
    gpus: fc.constantFrom(0, 0, 1),
    sharedGpus: fc.constantFrom(0, 0, 2, -1),
    max: fc.constantFrom(0, 1, 4),
    zone: fc.constantFrom("", "", "node.labels.zone == a", "node.labels.zone in (a, b)", "!node.labels.zone"),
    spread: fc.constantFrom([], ["zone"], ["zone", "rack"], ["rack", "zone"]),
    volumes: fc.constantFrom(VolumePolicy.UNSPECIFIED, VolumePolicy.ANY),
    mounts: fc.boolean(),
    hasEnvSecret: fc.constantFrom(true, false, false),
    port: fc.constantFrom("", "", "192.0.2.1", "192.0.2.2", "0.0.0.0"),
    network: fc.constantFrom(undefined, undefined, "needed", "optional", "encrypted"),
    room: fc.constantFrom(0, 2, 5),
  })
  .map((made) => {
    const snapshots = made.nodes.map((one, index) =>
      buildNodeSnapshot({
        node: buildNode({
          id: `n${index}`,
          labels: { ...(one.zone === undefined ? {} : { zone: one.zone }), rack: one.rack },
          availability: one.availability,
          state: one.state,
          description: {
            nanoCpus: one.cpus * CPU,
            memoryBytes: one.gib * GIB,
            pids: one.pids,
            generic: { gpu: one.gpus },
            engineReady: one.engineReady,
            protocolVersion: one.protocol,
            ...(one.hasOverlay === undefined
              ? {}
              : {
                  dataPlane: {
                    overlay: one.hasOverlay,
                    wireguardPublicKey: one.hasKey ? "key" : "",
                    addresses: [...one.addresses],
                  },
                }),
            volumes: one.hasVolume ? ["shop_data"] : [],
            listeners: one.listens === "" ? [] : [{ protocol: 1, address: one.listens, port: 80 }],
          },
        }),
        reserved: buildReservation({
          nanoCpus: one.usedCpus * CPU,
          memoryBytes: one.usedGib * GIB,
          networks: new Map([["shop_back", one.usedAddresses]]),
        }),
        taskCount: one.tasks,
        hostPorts: new Set(one.port === "" ? [] : [one.port]),
      }),
    );
    const spec = buildSpec({
      task: {
        container: {
          deviceRequests: made.sharedGpus === 0 ? [] : [{ count: made.sharedGpus, capabilities: ["gpu"] }],
          files: made.hasEnvSecret ? [{ name: "key", env: "KEY" }] : [],
          mounts: made.mounts
            ? [{ target: "/d", kind: { $case: "volume", value: { name: "shop_data" } } }]
            : [],
        },
        reservations: {
          nanoCpus: made.cpus * CPU,
          memoryBytes: made.gib * GIB,
          pids: made.pids,
          generic: { gpu: made.gpus },
        },
        networks:
          made.network === undefined
            ? []
            : [
                {
                  network: "shop_back",
                  optional: made.network === "optional",
                  encrypted: made.network === "encrypted",
                  addressesPerHost: made.room,
                },
              ],
      },
      placement: {
        maxReplicasPerNode: made.max,
        constraints: made.zone === "" ? [] : [made.zone],
        spread: made.spread.map((label) => `node.labels.${label}`),
        volumes: made.volumes,
      },
      ports: made.port === "" ? [] : [{ target: 80, published: 80, protocol: 1, mode: 2, hostIp: made.port }],
    });
    const byNode = (of: (one: (typeof made.nodes)[number]) => number): Map<string, number> =>
      new Map(made.nodes.map((one, index) => [`n${index}`, of(one)]));
    const load = {
      tasksByNode: byNode((one) => one.current),
      occupiedByNode: byNode((one) => one.current + one.stopping),
      avoided: new Map([...byNode((one) => one.avoided)].filter(([, failures]) => failures > 0)),
    };
    return { cluster: clusterWith(snapshots), requirements: getRequirements(spec), count: made.count, load };
  });

describe("place", () => {
  it("chooses the same nodes as a search of all nodes for each task (property)", () => {
    fc.assert(
      fc.property(situation, ({ cluster, requirements, count, load }) => {
        const { nodeIds } = place({ count, requirements, load }, cluster);
        expect(nodeIds).toEqual(placeSlowly({ count, requirements, load }, cluster).nodeIds);
      }),
      { numRuns: 500 },
    );
  });

  it("chooses the same nodes as that search when some tasks prefer a node (property)", () => {
    const preferred = fc.nat(13).map((index) => `n${index}`);
    fc.assert(
      fc.property(
        situation,
        fc.array(preferred, { maxLength: 6 }),
        ({ cluster, requirements, count, load }, preferredNodeIds) => {
          const request = { count: count + preferredNodeIds.length, requirements, load, preferredNodeIds };
          const { nodeIds, onPreferred } = place(request, cluster);
          expect({ nodeIds, onPreferred }).toEqual(placeSlowly(request, cluster));
        },
      ),
      { numRuns: 300 },
    );
  });

  it("gives a reason exactly when a task got no node, and counts every node in it", () => {
    fc.assert(
      fc.property(situation, ({ cluster, requirements, count, load }) => {
        const { nodeIds, reason } = place({ count, requirements, load }, cluster);
        expect(reason === "").toBe(nodeIds.length === count);
        if (reason === "" || cluster.nodes.size === 0) return;
        const counted = [...reason.matchAll(/(\d+) nodes?\b/g)].reduce((sum, [, n]) => sum + Number(n), 0);
        expect(counted).toBe(cluster.nodes.size);
      }),
    );
  });

  it("says so when there are no nodes", () => {
    const { reason } = place(
      { count: 1, requirements: getRequirements(buildSpec()), load: NO_LOAD },
      clusterWith([]),
    );
    expect(reason).toBe("there are no nodes");
  });

  it("explains that an agent of an older release does not support the spec", () => {
    const spec = buildSpec({ task: { container: { files: [{ name: "key", env: "KEY" }] } } });
    const requirements = getRequirements(spec);
    const cluster = clusterWith([buildNodeSnapshot({ node: buildNode({ id: "a" }) })]);
    expect(place({ count: 1, requirements, load: NO_LOAD }, cluster)).toMatchObject({
      nodeIds: [],
      reason: "1 node has an agent of an older release that does not support a part of the spec (upgrade it)",
    });
  });

  it("places a port that is bound to an address on nodes that have it, and tries those that report none", () => {
    const spec = buildSpec({
      ports: ["192.0.2.7", "2001:DB8::7", "127.0.0.1", "0.0.0.0", ""].map((hostIp, index): PortSpec => {
        return {
          target: 80,
          published: 8080 + index,
          protocol: PortSpec_Protocol.TCP,
          mode: 2 as const,
          hostIp,
        };
      }),
    });
    const requirements = getRequirements(spec);
    const nodeWith = (id: string, addresses: string[]) =>
      buildNodeSnapshot({ node: buildNode({ id, description: { dataPlane: { addresses } } }) });
    const some = [nodeWith("a", ["192.0.2.7"]), nodeWith("b", ["192.0.2.8", "2001:db8::7"])];
    const all = nodeWith("c", ["192.0.2.7", "2001:db8::7"]);
    const unknown = nodeWith("d", []);
    const found = place({ count: 3, requirements, load: NO_LOAD }, clusterWith([...some, all, unknown]));
    expect([...found.nodeIds].sort()).toEqual(["c", "d"]);
    expect(place({ count: 1, requirements, load: NO_LOAD }, clusterWith(some)).reason).toBe(
      "1 node does not have the address 192.0.2.7, on which a host-mode port is published, 1 node does not have the address 2001:db8::7, on which a host-mode port is published",
    );
  });

  it("ignores the address of a port that every host publishes", () => {
    const { INGRESS: mode } = PortSpec_Mode;
    const port = { target: 80, published: 80, protocol: PortSpec_Protocol.TCP, mode, hostIp: "192.0.2.7" };
    expect(getRequirements(buildSpec({ ports: [port] })).addresses).toEqual([]);
  });

  it("explains every obstacle", () => {
    const spec = buildSpec({
      task: {
        container: { platform: "linux/amd64" },
        reservations: { nanoCpus: 1.5 * CPU, memoryBytes: GIB / 2, pids: 20, generic: { gpu: 2 } },
      },
      placement: { constraints: ["node.labels.zone == a"], maxReplicasPerNode: 1 },
      ports: [{ target: 80, published: 8080, protocol: 1, mode: 2 }],
    });
    const labels = { zone: "a" };
    const bare = { generic: { gpu: 2 } };
    const listeners = [{ protocol: PortSpec_Protocol.TCP, address: "", port: 8080 }];
    const nodes = [
      buildNodeSnapshot({ node: buildNode({ id: "a", state: NodeState.DOWN }) }),
      buildNodeSnapshot({ node: buildNode({ id: "b", availability: Availability.DRAIN }) }),
      buildNodeSnapshot({ node: buildNode({ id: "c", availability: Availability.PAUSE }) }),
      buildNodeSnapshot({ node: buildNode({ id: "d", description: { engineReady: false } }) }),
      buildNodeSnapshot({ node: buildNode({ id: "e", description: { architecture: "aarch64" } }) }),
      buildNodeSnapshot({ node: buildNode({ id: "f" }) }),
      buildNodeSnapshot({ node: buildNode({ id: "g", labels }), hostPorts: new Set(["tcp//8080"]) }),
      buildNodeSnapshot({ node: buildNode({ id: "h", labels, description: { listeners } }) }),
      buildNodeSnapshot({ node: buildNode({ id: "i", labels, description: { listeners } }) }),
      buildNodeSnapshot({ node: buildNode({ id: "j", labels }) }),
      buildNodeSnapshot({
        node: buildNode({ id: "k", labels }),
        reserved: buildReservation({ nanoCpus: 3 * CPU }),
      }),
      buildNodeSnapshot({ node: buildNode({ id: "l", labels, description: { memoryBytes: 1 } }) }),
      buildNodeSnapshot({ node: buildNode({ id: "m", labels, description: { memoryBytes: 1 } }) }),
      buildNodeSnapshot({ node: buildNode({ id: "n", labels, description: { ...bare, pids: 19 } }) }),
      buildNodeSnapshot({
        node: buildNode({ id: "o", labels, description: bare }),
        reserved: buildReservation({ generic: new Map([["gpu", 1]]) }),
      }),
    ];
    const load = { ...NO_LOAD, occupiedByNode: new Map([["j", 1]]) };
    expect(
      explainNoCapacity(nodes, { requirements: getRequirements(spec), load }, clusterWith(nodes)).split(", "),
    ).toEqual([
      "1 node is down",
      "1 node is drained",
      "1 node is paused",
      "1 node cannot reach its Docker",
      "1 node is not linux/amd64",
      "1 node does not meet node.labels.zone == a",
      "port 8080/tcp is taken by another task on 1 node",
      "port 8080/tcp is taken by another program on 2 nodes",
      "1 node has the 1 task of the service allowed per node",
      "1 node lacks 1.5 CPUs",
      "2 nodes lack 512 MiB of memory",
      "1 node lacks room for 20 processes",
      "1 node lacks 2 gpu",
    ]);
  });

  it("places a task on the node of its volume, and names that node when it cannot", () => {
    const spec = buildSpec({
      task: {
        container: { mounts: [{ target: "/d", kind: { $case: "volume", value: { name: "shop_data" } } }] },
      },
    });
    const snapshots = (state: NodeState): readonly NodeSnapshot[] => [
      buildNodeSnapshot({ node: buildNode({ id: "h1" }) }),
      buildNodeSnapshot({ node: buildNode({ id: "h2", state, description: { volumes: ["shop_data"] } }) }),
      buildNodeSnapshot({ node: buildNode({ id: "h3" }) }),
    ];
    const request = { count: 2, requirements: getRequirements(spec), load: NO_LOAD };
    expect(place(request, clusterWith(snapshots(NodeState.READY))).nodeIds).toEqual(["h2", "h2"]);
    expect(place(request, clusterWith(snapshots(NodeState.DOWN)))).toEqual({
      nodeIds: [],
      onPreferred: [],
      reason: "1 node is down, 2 nodes do not have volume shop_data, which is on h2 (down)",
    });
  });

  it("treats nodes without the label as a group of their own", () => {
    const labels = [{ zone: "a" }, { zone: "a" }, { zone: "b" }, {}];
    const nodes = labels.map((one, index) =>
      buildNodeSnapshot({ node: buildNode({ id: `n${index}`, labels: one }) }),
    );
    const requirements = getRequirements(buildSpec({ placement: { spread: ["node.labels.zone"] } }));
    const { nodeIds } = place({ count: 6, requirements, load: NO_LOAD }, clusterWith(nodes));
    expect([...nodeIds].sort()).toEqual(["n0", "n1", "n2", "n2", "n3", "n3"]);
  });

  it("prefers the node with fewer tasks of all services", () => {
    const busy = buildNodeSnapshot({ node: buildNode({ id: "a" }), taskCount: 9 });
    const idle = buildNodeSnapshot({ node: buildNode({ id: "b" }) });
    const { nodeIds } = place(
      { count: 1, requirements: getRequirements(buildSpec()), load: NO_LOAD },
      clusterWith([busy, idle]),
    );
    expect(nodeIds).toEqual(["b"]);
  });
});

describe("fitsOn", () => {
  it("checks only the given node", () => {
    const requirements = getRequirements(buildSpec({ task: { reservations: { memoryBytes: 8 * GIB } } }));
    const fits = fitTest({ requirements, load: NO_LOAD }, clusterWith([]));
    expect(fits(buildNodeSnapshot())).toBe(true);
    expect(fits(buildNodeSnapshot({ reserved: buildReservation({ memoryBytes: 1 }) }))).toBe(false);
  });
});
