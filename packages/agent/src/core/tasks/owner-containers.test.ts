import { DesiredState, NetworkAttachment, NetworkMode, TaskState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import type { ObservedContainer } from "../docker/observed-container.js";
import { containerConfig } from "./container-config.js";
import type { OwnerView } from "./owner-containers.js";
import { reconcile } from "./reconcile.js";
import type { TaskView } from "./task-view.js";
import { containerWith, NO_FILES, NODE, specWith, taskWith, viewWith } from "./testing.js";

const OWNERS = [{ service: "shop_web", taskId: "web2" }];

function ownerWith(container: ObservedContainer | undefined, stack = "shop"): OwnerView {
  const spec = specWith({ container: { networkMode: NetworkMode.BRIDGE } });
  const task = taskWith({ id: "web2", stack });
  const assignment = { task, spec, receivedAtMs: 1_000 };
  return { service: "shop_web", taskId: "web2", assignment, container, networkSpec: spec };
}

/** The view of a companion that shares the network of `shop_web`, and its mounts read-only. */
function companionView(
  owner: OwnerView | undefined,
  fields: Partial<TaskView> = {},
  mountsOnly = false,
): TaskView {
  const mounts = [{ service: "shop_web", readOnly: true }];
  const sharing = { network: mountsOnly ? "" : "shop_web", pid: "", ipc: "", mounts };
  const task = taskWith({ owners: OWNERS });
  return viewWith({
    assignment: { task, spec: specWith({ container: { sharing } }), receivedAtMs: 1_000 },
    owners: owner === undefined ? [] : [owner],
    ...fields,
  });
}

const messageOf = (view: TaskView): string | undefined => reconcile(view, 2_000).status?.message;

describe("a container that shares the namespaces and mounts of another one", () => {
  it("creates a companion once the container of its owner runs", () => {
    expect(messageOf(companionView(undefined))).toBe(
      "waiting for service shop_web: its task is not assigned to this host yet",
    );
    expect(messageOf(companionView(ownerWith(undefined)))).toBe(
      "waiting for task shop_web.2: it has no container yet",
    );
    const created = ownerWith(containerWith({ id: "owner", state: "created" }));
    expect(messageOf(companionView(created))).toBe("waiting for task shop_web.2: it is not running yet");
    expect(reconcile(companionView(created), 2_000).step).toBeUndefined();

    const { step } = reconcile(companionView(ownerWith(containerWith({ id: "owner" }))), 2_000);
    expect(step).toMatchObject({
      kind: "create",
      config: { body: { HostConfig: { NetworkMode: "container:owner", VolumesFrom: ["owner:ro"] } } },
    });
  });

  it("waits for its owner between its creation and its start too", () => {
    const containers = [containerWith({ state: "created" })];
    const exited = ownerWith(containerWith({ id: "owner", state: "exited" }));
    expect(reconcile(companionView(exited, { containers }), 2_000).step).toBeUndefined();
    const running = ownerWith(containerWith({ id: "owner" }));
    expect(reconcile(companionView(running, { containers }), 2_000).step).toMatchObject({ kind: "start" });
  });

  it("creates a companion that uses only the mounts of its owner although the owner's container has ended", () => {
    const exited = ownerWith(containerWith({ id: "owner", state: "exited" }));
    expect(reconcile(companionView(exited, {}, true), 2_000).step).toMatchObject({
      kind: "create",
      config: { body: { HostConfig: { NetworkMode: "default", VolumesFrom: ["owner:ro"] } } },
    });
  });

  it("stops a companion when the container of its owner was started again", () => {
    const containers = [containerWith({ startedAt: "2026-01-01T00:00:05.25" })];
    const startedAt = (time: string): OwnerView => ownerWith(containerWith({ id: "owner", startedAt: time }));
    expect(
      reconcile(companionView(startedAt("2026-01-01T00:00:05.2"), { containers }), 2_000).step,
    ).toBeUndefined();
    const failure = "service shop_web, whose namespaces the task shares, was restarted outside berth";
    expect(
      reconcile(companionView(startedAt("2026-01-01T00:00:05.3"), { containers }), 2_000).step,
    ).toMatchObject({ kind: "stop", failure });
    const mountsOnly = companionView(startedAt("2026-01-01T00:00:09"), { containers }, true);
    expect(reconcile(mountsOnly, 2_000).step).toBeUndefined();
  });

  it("rejects a companion whose owner belongs to another stack", () => {
    const foreign = ownerWith(containerWith({ id: "owner" }), "bank");
    expect(reconcile(companionView(foreign), 2_000).status).toMatchObject({
      state: TaskState.REJECTED,
      message: "service shop_web belongs to another stack: its containers cannot be shared",
    });
  });

  it("stops a companion regardless of its owner", () => {
    const task = taskWith({ owners: OWNERS, desiredState: DesiredState.SHUTDOWN });
    const view = companionView(undefined, { containers: [containerWith()] });
    const assignment = view.assignment && { ...view.assignment, task };
    expect(reconcile({ ...view, assignment }, 2_000).step).toMatchObject({ kind: "stop" });
  });

  it("resolves names as its owner does", () => {
    const gateway = "10.64.1.1";
    const state = { kind: "ready", dockerId: "d" } as const;
    const networks = { byName: new Map([["shop_back", { id: "n", gateway, isInternal: true, state }]]) };
    const attachment = NetworkAttachment.fromPartial({ network: "shop_back" });
    const networkSpec = specWith({ task: { networks: [attachment] } });
    const owner = { ...ownerWith(containerWith({ id: "owner" })), networkSpec };
    const { assignment } = companionView(owner);
    const container = assignment?.spec.task?.container;
    if (assignment === undefined || container === undefined) throw new Error("the spec has no container");
    const { resolvConf } = containerConfig({
      task: assignment.task,
      spec: assignment.spec,
      container,
      node: NODE,
      networks,
      files: NO_FILES,
      owners: [owner],
    });
    expect(resolvConf).toBe(`nameserver ${gateway}\noptions ndots:0\n`);
  });
});
