import { DesiredState, Health, type IngressEntry, NodeState, type Task, TaskState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import {
  buildCluster,
  buildNode,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
} from "../testing/records.js";
import { ingressEntries } from "./ingress-entries.js";

const HTTP = { target: 80, published: 8080, protocol: 1, mode: 1 } as const;
const spec = buildSpec({ ports: [HTTP] });
/** The published port leads to another container port. */
const MOVED = buildSpec({ ports: [{ ...HTTP, target: 8000 }] });
const OPEN = [{ protocol: 1, target: 80, hostPort: 49_153 }] as const;

function entries(
  tasks: readonly Task[],
  { suspects = [], ...over }: { readonly state?: NodeState; readonly suspects?: readonly string[] } = {},
): readonly IngressEntry[] {
  const snapshot = buildSnapshot({
    service: buildService({ spec, version: 2, templateVersion: 2 }),
    spec,
    tasks,
    revisions: new Map([
      [1, MOVED],
      [2, spec],
    ]),
  });
  const { nodes } = buildCluster([buildNode({ id: "n1", ...over }), buildNode({ id: "n2" })]);
  return ingressEntries(snapshot, { nodes, isSuspect: (nodeId) => suspects.includes(nodeId) });
}

const running = (over: Parameters<typeof buildTask>[0] = {}): Task =>
  buildTask({ specVersion: 2, status: { state: TaskState.RUNNING, ports: [...OPEN] }, ...over });

describe("ingressEntries", () => {
  it("lists ready tasks on ready nodes in order of task id", () => {
    const [entry] = entries([running({ id: "b" }), running({ id: "a" })]);
    expect(entry).toMatchObject({ key: "tcp//8080", serviceName: "shop_web", published: 8080, draining: [] });
    expect(entry?.endpoints).toEqual([
      { taskId: "a", nodeId: "n1", address: "192.0.2.1", port: 49_153 },
      { taskId: "b", nodeId: "n1", address: "192.0.2.1", port: 49_153 },
    ]);
  });

  it("returns an entry for a port without endpoints", () => {
    expect(entries([])).toMatchObject([{ key: "tcp//8080", endpoints: [], draining: [] }]);
  });

  it.each<[string, Task]>([
    ["has not started", running({ status: { state: TaskState.STARTING, ports: [...OPEN] } })],
    [
      "has not passed its health check yet",
      running({ status: { state: TaskState.RUNNING, health: Health.STARTING, ports: [...OPEN] } }),
    ],
    ["has ended", running({ status: { state: TaskState.FAILED, ports: [...OPEN] } })],
    ["has no host port yet", running({ status: { state: TaskState.RUNNING } })],
    ["is on an unknown node", running({ nodeId: "gone" })],
  ])("leaves out a task that %s", (_name, task) => {
    expect(entries([task])).toMatchObject([{ endpoints: [], draining: [] }]);
  });

  it("drains an unhealthy task: requests in flight may still be answered", () => {
    const sick = running({
      id: "b",
      status: { state: TaskState.RUNNING, health: Health.UNHEALTHY, ports: [...OPEN] },
    });
    const [entry] = entries([running({ id: "a" }), sick]);
    expect(entry?.endpoints.map(({ taskId }) => taskId)).toEqual(["a"]);
    expect(entry?.draining.map(({ taskId }) => taskId)).toEqual(["b"]);
  });

  it("leaves out a dead node", () => {
    expect(entries([running()], { state: NodeState.DOWN })).toMatchObject([{ endpoints: [], draining: [] }]);
  });

  it("leaves out suspect nodes unless all nodes are suspect", () => {
    const tasks = [running({ id: "a" }), running({ id: "b", nodeId: "n2" })];
    const nodesOf = (suspects: readonly string[]) =>
      entries(tasks, { suspects }).flatMap(({ endpoints }) => endpoints.map(({ nodeId }) => nodeId));
    expect(nodesOf(["n1"])).toEqual(["n2"]);
    const [entry] = entries(tasks, { suspects: ["n1"] });
    expect(entry?.draining.map(({ nodeId }) => nodeId)).toEqual(["n1"]);
    expect(nodesOf(["n1", "n2"])).toEqual(["n1", "n2"]);
  });

  it("drains a stopping task for as long as it runs", () => {
    const [entry] = entries([running({ desiredState: DesiredState.SHUTDOWN })]);
    expect(entry?.endpoints).toEqual([]);
    expect(entry?.draining).toHaveLength(1);
  });

  it("sends connections to an outdated task on the container port of its own version", () => {
    const ports = [{ protocol: 1, target: 8000, hostPort: 7 } as const];
    const [entry] = entries([running({ specVersion: 1, status: { state: TaskState.RUNNING, ports } })]);
    expect(entry?.endpoints).toMatchObject([{ port: 7 }]);
  });

  it("keeps the connections of both templates when an update that moved the port is rolled back", () => {
    const templates = [
      { version: 1, templateVersion: 1 },
      { version: 2, templateVersion: 2 },
      { version: 3, templateVersion: 1 },
    ];
    const service = buildService({ spec, version: 3, templateVersion: 1, templates });
    const revisions = new Map([
      [1, spec],
      [2, MOVED],
      [3, spec],
    ]);
    const moved = { state: TaskState.RUNNING, ports: [{ protocol: 1, target: 8000, hostPort: 7 } as const] };
    const tasks = [
      running({ id: "restored", specVersion: 1 }),
      running({ id: "updated", specVersion: 2, status: moved }),
      running({ id: "updated-stopping", specVersion: 2, status: moved, desiredState: DesiredState.SHUTDOWN }),
    ];
    const { nodes } = buildCluster([buildNode()]);
    const snapshot = buildSnapshot({ service, spec, tasks, revisions });
    const [entry] = ingressEntries(snapshot, { nodes, isSuspect: () => false });
    expect(entry?.endpoints.map(({ taskId }) => taskId)).toEqual(["restored", "updated"]);
    expect(entry?.draining.map(({ taskId }) => taskId)).toEqual(["updated-stopping"]);
  });
});
