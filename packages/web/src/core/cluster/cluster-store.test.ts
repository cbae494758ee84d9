import { describe, expect, it } from "vitest";
import type { JsonObject } from "../json.js";
import { ClusterStore } from "./cluster-store.js";
import { decodeUpdate } from "./cluster-update.js";

const position = (sequence: number, epoch = 1): JsonObject => ({ epoch, sequence, revision: sequence });

const node = (id: string): JsonObject => ({ id, hostname: `host-${id}`, state: "NODE_STATE_READY" });
const service: JsonObject = { id: "s1", name: "shop_web", stack: "shop" };
const task = (id: string, fields: JsonObject = {}): JsonObject => ({
  id,
  serviceId: "s1",
  slot: 1,
  nodeId: "n1",
  state: "TASK_STATE_RUNNING",
  ...fields,
});

function apply(store: ClusterStore, json: JsonObject) {
  return store.apply(decodeUpdate(json, (id) => store.serviceName(id)));
}

/** A store with one service and one task on the first of two nodes. */
function filledStore(): ClusterStore {
  const store = new ClusterStore();
  apply(store, {
    position: position(1),
    isSnapshot: true,
    nodes: [node("n1"), node("n2")],
    services: [service],
    tasks: [task("t1")],
  });
  return store;
}

describe("ClusterStore", () => {
  it("applies a snapshot and then the update that follows", () => {
    const store = filledStore();
    const result = apply(store, {
      position: position(2),
      tasks: [task("t2", { slot: 2 })],
      removedTasks: ["t1"],
    });
    expect(result).toMatchObject({ kind: "applied" });
    expect([...store.tasks.keys()]).toEqual(["t2"]);
    expect([...store.tasksOnNode("n1")]).toEqual(["t2"]);
    expect(store.tasks.get("t2")?.serviceName).toBe("shop_web");
  });

  it("reports the service of a removed slot as changed", () => {
    const store = filledStore();
    apply(store, { position: position(2), slots: [{ key: "s1/1", serviceId: "s1", slot: 1 }] });
    const [key = ""] = store.slots.keys();
    const result = apply(store, { position: position(3), removedSlots: [key] });
    expect(store.slots.size).toBe(0);
    expect(result).toMatchObject({ changed: { services: new Set(["s1"]) } });
  });

  it("knows the names of services whose tasks are in a later part of a snapshot", () => {
    const store = new ClusterStore();
    apply(store, { isSnapshot: true, hasMore: true, nodes: [node("n1")], services: [service] });
    apply(store, { hasMore: true, tasks: [task("t1")] });
    expect(store.tasks.size).toBe(0);
    apply(store, { position: position(1) });
    expect(store.tasks.get("t1")?.serviceName).toBe("shop_web");
  });

  it("reports a gap and keeps its records when an update is missing", () => {
    const store = filledStore();
    expect(apply(store, { position: position(3), removedTasks: ["t1"] })).toEqual({ kind: "gap" });
    expect(store.tasks.has("t1")).toBe(true);
  });

  it("ignores an update that it has applied already", () => {
    const store = filledStore();
    expect(apply(store, { position: position(1), removedTasks: ["t1"] })).toEqual({ kind: "duplicate" });
    expect(store.tasks.has("t1")).toBe(true);
  });

  it("reports a gap for an update of another leader without a snapshot", () => {
    expect(apply(filledStore(), { position: position(2, 2) })).toEqual({ kind: "gap" });
  });

  it("reports a gap for an update before the first snapshot", () => {
    expect(apply(new ClusterStore(), { position: position(1) })).toEqual({ kind: "gap" });
  });

  it("shows no part of a snapshot before the last part has arrived", () => {
    const store = filledStore();
    expect(apply(store, { isSnapshot: true, hasMore: true, nodes: [node("n3")] })).toEqual({
      kind: "incomplete",
    });
    expect([...store.nodes.keys()]).toEqual(["n1", "n2"]);
    apply(store, { position: position(9, 2), nodes: [node("n4")] });
    expect([...store.nodes.keys()]).toEqual(["n3", "n4"]);
    expect([...store.tasks.keys()]).toEqual([]);
  });

  it("drops the parts of a snapshot that was interrupted", () => {
    const store = filledStore();
    apply(store, { isSnapshot: true, hasMore: true, nodes: [node("n3")] });
    store.dropParts();
    expect(apply(store, { position: position(2), nodes: [node("n5")] })).toMatchObject({ kind: "applied" });
    expect([...store.nodes.keys()]).toEqual(["n1", "n2", "n5"]);
  });

  it("names all removed records when another leader sends a snapshot", () => {
    const store = filledStore();
    const result = apply(store, { position: position(1, 2), isSnapshot: true, nodes: [node("n2")] });
    expect(result.kind === "applied" && [...result.changed.nodes].sort()).toEqual(["n1", "n2"]);
    expect(result.kind === "applied" && [...result.changed.tasks]).toEqual(["t1"]);
  });

  it("reports a move when a replacement is placed on another node", () => {
    const store = filledStore();
    const replaces = { taskId: "t1", nodeId: "n1", cause: "CAUSE_NODE_LOSS", message: "node is down" };
    apply(store, {
      position: position(2),
      tasks: [task("t2", { nodeId: "", state: "TASK_STATE_NEW", replaces })],
    });
    const result = apply(store, { position: position(3), tasks: [task("t2", { nodeId: "n2", replaces })] });
    expect(result.kind === "applied" && result.changed.moves).toEqual([
      { taskId: "t2", replacedTaskId: "t1", fromNodeId: "n1", toNodeId: "n2" },
    ]);
    const next = apply(store, { position: position(4), tasks: [task("t2", { nodeId: "n2", replaces })] });
    expect(next.kind === "applied" && next.changed.moves).toEqual([]);
  });

  it("reports no moves for the first snapshot", () => {
    const store = new ClusterStore();
    const replaces = { taskId: "t0", nodeId: "n2" };
    const result = apply(store, {
      position: position(1),
      isSnapshot: true,
      tasks: [task("t1", { replaces })],
    });
    expect(result.kind === "applied" && result.changed.moves).toEqual([]);
  });
});
