import { TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import { buildSpec, buildTask } from "../core/testing/records.js";
import { findAddressHolder } from "./address-holder.js";
import type { Change } from "./change.js";
import { ClusterState } from "./cluster-state.js";

const having = (ipv4Address: string) =>
  buildSpec({ task: { container: { image: "db:1" }, networks: [{ network: "shop_back", ipv4Address }] } });
const asking = { serviceId: "s9", network: "shop_back", address: "10.64.0.5" };

test("findAddressHolder finds a task by the spec that it runs, also of a removed service", () => {
  const state = new ClusterState();
  const holder = (): string | undefined => findAddressHolder(asking, state)?.id;
  const put = (revision: bigint, ...changes: readonly Change[]): void =>
    state.apply(changes.map((change) => ({ change, revision })));

  put(
    1n,
    { kind: "put-revision", serviceId: "s1", version: 1, spec: having("10.64.0.5") },
    { kind: "put-revision", serviceId: "s1", version: 2, spec: having("10.64.0.6") },
    { kind: "put-task", task: buildTask({ id: "new", specVersion: 2 }) },
  );
  expect(holder()).toBeUndefined();
  put(2n, { kind: "put-task", task: buildTask({ id: "old", specVersion: 1 }) });
  expect(holder()).toBe("old");
  expect(findAddressHolder({ ...asking, serviceId: "s1" }, state)).toBeUndefined();
  expect(findAddressHolder({ ...asking, network: "shop_front" }, state)).toBeUndefined();

  put(3n, { kind: "put-revision", serviceId: "s1", version: 1, spec: having("10.64.0.7") });
  expect(holder()).toBeUndefined();
  put(4n, { kind: "put-revision", serviceId: "s1", version: 1, spec: having("10.64.0.5") });
  expect(holder()).toBe("old");
  put(5n, { kind: "put-task", task: buildTask({ id: "old", status: { state: TaskState.SHUTDOWN } }) });
  expect(holder()).toBeUndefined();
});

test("findAddressHolder ignores versions whose spec has been deleted", () => {
  const state = new ClusterState();
  const spec = having("10.64.0.5");
  state.apply([{ change: { kind: "put-revision", serviceId: "s1", version: 1, spec }, revision: 1n }]);
  expect([...state.services.versions.withStaticAddress("shop_back", "10.64.0.5")]).toEqual([
    { serviceId: "s1", version: 1 },
  ]);
  state.apply([{ change: { kind: "delete-revision", serviceId: "s1", version: 1 }, revision: 2n }]);
  expect([...state.services.versions.withStaticAddress("shop_back", "10.64.0.5")]).toEqual([]);
});
