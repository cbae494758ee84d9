import { describe, expect, it } from "vitest";
import { buildNode, buildTask } from "../core/testing/records.js";
import { changeKey, decodeEntry, deletionOfKey, encodeValue, recordKey, writeChange } from "./change.js";
import { ClusterState } from "./cluster-state.js";
import { DeltaBuilder } from "./delta.js";

const entry = (key: string, value: string) => ({ key, value, createRevision: 1n, modRevision: 1n });

describe("deletionOfKey", () => {
  it("returns the deletion whose key it is", () => {
    const deletions = [
      { kind: "delete-service", serviceId: "s1" },
      { kind: "delete-name", name: "shop_web" },
      { kind: "delete-revision", serviceId: "s1", version: 7 },
      { kind: "delete-task", serviceId: "s1", taskId: "t1" },
      { kind: "delete-node", nodeId: "n1" },
      { kind: "delete-network", networkId: "w1" },
      { kind: "delete-range", networkId: "w1", nodeId: "n1" },
      { kind: "delete-vip", networkId: "w1", serviceId: "s1" },
    ] as const;
    for (const deletion of deletions) expect(deletionOfKey(changeKey(deletion))).toEqual(deletion);
  });

  it("returns undefined for keys that are not records", () => {
    for (const key of [
      "nodes/a/b",
      "tasks/a",
      "revisions/a/7",
      "revisions/a",
      "servers/a",
      "leader",
      "other/a",
    ]) {
      expect(deletionOfKey(`/berth/v1/${key}`), key).toBeUndefined();
    }
  });
});

describe("decodeEntry", () => {
  it("decodeEntry is the inverse of changeKey and encodeValue", () => {
    const puts = [
      { kind: "put-task", task: buildTask() },
      { kind: "put-node", node: buildNode() },
      { kind: "put-name", name: "shop_web", serviceId: "s1" },
    ] as const;
    for (const put of puts) {
      const decoded = decodeEntry(entry(changeKey(put), encodeValue(put) ?? ""));
      expect(decoded).toEqual({ kind: "put", put });
    }
  });

  it("rejects a value whose id differs from its key", () => {
    const decoded = decodeEntry(entry(recordKey("node", { nodeId: "n1" }), '{"id":"n2"}'));
    expect(decoded.kind).toBe("unreadable");
  });

  it("rejects a value that is a list", () => {
    const decoded = decodeEntry(entry(recordKey("name", { name: "shop_web" }), "[]"));
    expect(decoded).toEqual({ kind: "unreadable", reason: "the value is not a JSON object" });
  });

  it("rejects a value with text instead of a number", () => {
    const decoded = decodeEntry(
      entry(recordKey("node", { nodeId: "n1" }), '{"id":"n1","createdAtMs":"soon"}'),
    );
    expect(decoded).toEqual({
      kind: "unreadable",
      reason: "the record contains a number that is not finite",
    });
  });
});

describe("writeChange", () => {
  it("ignores the deletion of a record that does not exist", () => {
    const delta = new DeltaBuilder();
    const undo = writeChange(new ClusterState(), { kind: "delete-audit", sequence: 7 }, delta);
    expect(undo).toBeUndefined();
    expect(delta.isEmpty).toBe(true);
  });
});
