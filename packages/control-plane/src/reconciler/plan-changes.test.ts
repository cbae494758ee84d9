import { Network, Rollout_State, TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import { buildService, buildSpec, buildTask } from "../core/testing/records.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { rollbackChanges } from "./plan-changes.js";

const failure = "the update to version 2 failed (slot 1: exit code 1)";
const rollout = { state: Rollout_State.ROLLING_BACK, message: `${failure}; rolled back to version 1` };
const spec = buildSpec({ task: { container: { image: "web:1" }, networks: [{ network: "shop_back" }] } });
const known = buildService({ version: 2, healthyVersion: 1, rollout: { state: Rollout_State.UPDATING } });
const back = buildService({ version: 3, spec, rollout });

function decided(...changes: readonly Change[]): readonly Change[] {
  const state = new ClusterState();
  const records: Change[] = [{ kind: "put-service", service: known }, ...changes];
  state.apply(records.map((change) => ({ change, revision: 1n })));
  return rollbackChanges({ service: back, failure }, state, 1_000);
}

const network = (removing: boolean): Change => ({
  kind: "put-network",
  network: Network.fromPartial({ id: "net", spec: { name: "shop_back" }, subnet: "10.64.0.0/18", removing }),
});

test("a rollback writes the restored spec before the service that refers to it", () => {
  expect(decided(network(false))).toEqual([
    { kind: "put-revision", serviceId: "s1", version: 3, spec },
    { kind: "put-service", service: back },
  ]);
});

test("a rollback pauses, with one explanation, when a network of the restored spec is gone or being removed", () => {
  for (const changes of [decided(), decided(network(true))]) {
    expect(changes).toMatchObject([
      { kind: "put-service", service: { version: 2, rollout: { state: Rollout_State.PAUSED } } },
    ]);
    const [change] = changes;
    expect(change?.kind === "put-service" && change.service.rollout?.message).toBe(
      `${failure} and version 1 cannot be restored: network shop_back no longer exists: it is paused until the service is changed`,
    );
  }
});

test("a rollback pauses when another service has taken an address of the restored spec", () => {
  const networks = [{ network: "shop_back", ipv4Address: "10.64.0.5" }];
  const chosen = buildSpec({ name: "shop_db", task: { container: { image: "db:1" }, networks } });
  const state = new ClusterState();
  const records: Change[] = [
    { kind: "put-service", service: known },
    { kind: "put-service", service: buildService({ id: "s2", spec: chosen }) },
    network(false),
  ];
  state.apply(records.map((change) => ({ change, revision: 1n })));
  const wanted = { ...back, spec: { ...spec, task: chosen.task } };
  const [change] = rollbackChanges({ service: wanted, failure }, state, 1_000);
  expect(change?.kind === "put-service" && change.service.rollout?.message).toContain(
    "service shop_db has its address 10.64.0.5 in network shop_back",
  );
});

test("a rollback pauses while a stopping task still holds an address of the restored spec", () => {
  const having = (ipv4Address: string) =>
    buildSpec({ task: { container: { image: "db:1" }, networks: [{ network: "shop_back", ipv4Address }] } });
  const goBack = (taskState: TaskState) => {
    const state = new ClusterState();
    const task = { id: "t2", serviceId: "s2", serviceName: "shop_db", specVersion: 1 };
    const records: Change[] = [
      { kind: "put-service", service: known },
      { kind: "put-revision", serviceId: "s2", version: 1, spec: having("10.64.0.5") },
      { kind: "put-service", service: buildService({ id: "s2", version: 2, spec: having("10.64.0.6") }) },
      { kind: "put-task", task: buildTask({ ...task, status: { state: taskState } }) },
      network(false),
    ];
    state.apply(records.map((change) => ({ change, revision: 1n })));
    return rollbackChanges({ service: { ...back, spec: having("10.64.0.5") }, failure }, state, 1_000);
  };
  const [change] = goBack(TaskState.RUNNING);
  expect(change?.kind === "put-service" && change.service.rollout?.message).toContain(
    "task shop_db.1 still has its address 10.64.0.5 in network shop_back",
  );
  expect(goBack(TaskState.SHUTDOWN)).toMatchObject([{ kind: "put-revision" }, { kind: "put-service" }]);
});
