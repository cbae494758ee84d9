import {
  DesiredState,
  EndpointMode,
  Health,
  NodeState,
  type Task,
  TaskState,
  TrafficSpec_Affinity,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import {
  buildCluster,
  buildNode,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
} from "../testing/records.js";
import { dnsEntries } from "./dns-entries.js";

const NODES = [
  buildNode({ id: "n1" }),
  buildNode({ id: "n2" }),
  buildNode({ id: "n3", state: NodeState.DOWN }),
];
const NETWORKS: Readonly<Record<string, string>> = { shop_default: "net1", shop_back: "net2" };

function task(id: string, nodeId: string, over: Parameters<typeof buildTask>[0] = {}): Task {
  const addresses = [
    { networkId: "net1", address: `10.64.8.${id.slice(1)}`, macAddress: `02:00:00:00:00:0${id.slice(1)}` },
  ];
  const base = buildTask({ id, nodeId, slot: Number(id.slice(1)), ...over });
  return { ...base, status: { ...base.status, addresses, ...over.status } as NonNullable<Task["status"]> };
}

function entries(
  tasks: readonly Task[],
  {
    suspects = [],
    endpointMode = EndpointMode.VIP,
    isStatic = false,
  }: { suspects?: readonly string[]; endpointMode?: EndpointMode; isStatic?: boolean } = {},
) {
  const networks = [
    { network: "shop_default", aliases: ["www", "web"] },
    { network: "shop_back" },
    { network: "gone" },
  ];
  const spec = buildSpec({ task: { container: { image: "web:1" }, networks }, endpointMode });
  return dnsEntries(buildSnapshot({ service: buildService({ spec }), spec, tasks }), {
    nodes: buildCluster(NODES).nodes,
    isSuspect: (nodeId) => suspects.includes(nodeId),
    networkIdOf: (name) => NETWORKS[name],
    hasStaticFdb: () => isStatic,
    holdMs: 5_000,
    virtualIpIn: (networkId) => (networkId === "net1" ? "10.64.7.255" : ""),
  });
}

const answering = (tasks: readonly Task[], suspects: readonly string[] = []): readonly string[] =>
  (entries(tasks, { suspects })[0]?.endpoints ?? []).map(({ taskId }) => taskId);

describe("dnsEntries", () => {
  it("returns one entry per existing network, with the names of the service in it", () => {
    expect(entries([task("t2", "n2"), task("t1", "n1")])).toEqual([
      {
        key: "net1/s1",
        networkId: "net1",
        serviceId: "s1",
        serviceName: "shop_web",
        stack: "shop",
        names: ["web", "www"],
        vip: "10.64.7.255",
        endpoints: [
          { taskId: "t1", nodeId: "n1", address: "10.64.8.1", slot: 1, macAddress: "" },
          { taskId: "t2", nodeId: "n2", address: "10.64.8.2", slot: 2, macAddress: "" },
        ],
        draining: [],
        inactive: [],
        affinity: TrafficSpec_Affinity.UNSPECIFIED,
        holdMs: 5_000,
      },
      expect.objectContaining({ key: "net2/s1", names: ["web"], vip: "", endpoints: [] }),
    ]);
  });

  it("returns no virtual IP for a service with endpoint mode dnsrr", () => {
    expect(entries([], { endpointMode: EndpointMode.DNSRR }).map(({ vip }) => vip)).toEqual(["", ""]);
  });

  it("lists ready tasks on ready nodes as endpoints, and stopping and unhealthy ones as draining", () => {
    const stopping = task("t4", "n1", { desiredState: DesiredState.SHUTDOWN });
    const tasks = [
      task("t1", "n1"),
      task("t2", "n1", { status: { state: TaskState.RUNNING, health: Health.UNHEALTHY } }),
      task("t3", "n3"),
      stopping,
      task("t5", "n1", { status: { state: TaskState.STARTING } }),
      task("t6", "n1", { status: { state: TaskState.FAILED } }),
    ];
    expect(answering(tasks)).toEqual(["t1"]);
    expect(entries(tasks)[0]?.draining.map(({ taskId }) => taskId)).toEqual(["t2", "t4"]);
  });

  it("lists all other tasks with an address as inactive in a network with static forwarding entries", () => {
    const tasks = [
      task("t1", "n1"),
      task("t2", "n2"),
      task("t3", "n3"),
      task("t5", "n1", { status: { state: TaskState.STARTING } }),
      task("t6", "n1", { status: { state: TaskState.FAILED } }),
    ];
    const [entry] = entries(tasks, { suspects: ["n2"], isStatic: true });
    expect(entry?.endpoints.map(({ macAddress }) => macAddress)).toEqual(["02:00:00:00:00:01"]);
    expect(entry?.inactive.map(({ taskId }) => taskId)).toEqual(["t3", "t5", "t2"]);
    expect(entries(tasks, { suspects: ["n2"] })[0]?.inactive).toEqual([]);
  });

  it("leaves out suspect nodes unless there are no others", () => {
    const tasks = [task("t1", "n1"), task("t2", "n2")];
    expect(answering(tasks, ["n1"])).toEqual(["t2"]);
    expect(answering(tasks, ["n1", "n2"])).toEqual(["t1", "t2"]);
  });
});
