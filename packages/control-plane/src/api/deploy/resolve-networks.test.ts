import { Network, TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../../core/testing/records.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { resolveNetworks } from "./resolve-networks.js";

const having = (ipv4Address: string) =>
  buildSpec({ task: { container: { image: "web:1" }, networks: [{ network: "shop_back", ipv4Address }] } });
const fixed = { name: "shop_back", subnet: "10.20.0.0/24" };

/** A service that has gone from one address to another, while a task of its first version is in this state. */
function resolved(state: TaskState): readonly unknown[] {
  const cluster = new ClusterState();
  const changes: Change[] = [
    { kind: "put-network", network: Network.fromPartial({ id: "net", spec: fixed, subnet: fixed.subnet }) },
    { kind: "put-revision", serviceId: "s1", version: 1, spec: having("10.20.0.2") },
    { kind: "put-service", service: buildService({ version: 2, spec: having("10.20.0.3") }) },
    { kind: "put-task", task: buildTask({ status: { state } }) },
  ];
  cluster.apply(changes.map((change) => ({ change, revision: 1n })));
  return resolveNetworks([{ id: "s2", spec: having("10.20.0.2") }], {
    state: cluster,
    errorPrefix: "not deployed",
  });
}

test("a static address is refused until the task that has it has stopped", () => {
  expect(() => resolved(TaskState.RUNNING)).toThrow(
    /10\.20\.0\.2: task shop_web\.1, which is being replaced/,
  );
  expect(resolved(TaskState.SHUTDOWN)).toHaveLength(1);
});

test("two services cannot exchange static addresses in one deployment", () => {
  const cluster = new ClusterState();
  const changes: Change[] = [
    { kind: "put-network", network: Network.fromPartial({ id: "net", spec: fixed, subnet: fixed.subnet }) },
    { kind: "put-revision", serviceId: "s1", version: 1, spec: having("10.20.0.2") },
    { kind: "put-service", service: buildService({ version: 1, spec: having("10.20.0.2") }) },
    { kind: "put-task", task: buildTask() },
  ];
  cluster.apply(changes.map((change) => ({ change, revision: 1n })));
  const targets = [
    { id: "s1", spec: having("10.20.0.3") },
    { id: "s2", spec: having("10.20.0.2") },
  ];
  expect(() => resolveNetworks(targets, { state: cluster, errorPrefix: "not deployed" })).toThrow(
    "10.20.0.2: task shop_web.1 has this address; deploy shop_web with another address first",
  );
});

test("a service is refused if each of its networks fits some node, but no node can join all of them", () => {
  const state = new ClusterState();
  const node = (id: string, subnet: string) =>
    buildNode({ id, description: { hostname: id, dataPlane: { overlay: true, subnets: [subnet] } } });
  const network = (name: string, subnet: string): Change => ({
    kind: "put-network",
    network: Network.fromPartial({ id: name, spec: { name }, subnet }),
  });
  const changes: Change[] = [
    { kind: "put-node", node: node("h1", "10.1.0.0/16") },
    { kind: "put-node", node: node("h2", "10.2.0.0/16") },
    network("first", "10.1.0.0/24"),
    network("second", "10.2.0.0/24"),
  ];
  state.apply(changes.map((change) => ({ change, revision: 1n })));
  const resolve = (...networks: readonly string[]) => {
    const task = { container: { image: "web:1" }, networks: networks.map((name) => ({ network: name })) };
    return resolveNetworks([{ id: "s1", spec: buildSpec({ task }) }], { state, errorPrefix: "not deployed" });
  };
  expect([resolve("first"), resolve("second")]).toHaveLength(2);
  expect(() => resolve("first", "second")).toThrow(
    "no node can join all of the networks first, second (h1: it is attached to 10.1.0.0/16, which overlaps 10.1.0.0/24; h2: it is attached to 10.2.0.0/16, which overlaps 10.2.0.0/24)",
  );
});
