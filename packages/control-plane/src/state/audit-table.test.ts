import { AuditRecord, AuditRecord_Kind as Kind } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { AuditTable } from "./audit-table.js";
import { changeKey, decodeEntry, encodeValue, type Put } from "./change.js";
import { ClusterState } from "./cluster-state.js";

const record = (sequence: number, kind = Kind.CHANGE): AuditRecord =>
  AuditRecord.fromPartial({ sequence, kind, method: "DeployStack" });

describe("AuditTable", () => {
  it("keeps records in order when they are added in another order and replaced", () => {
    const table = new AuditTable();
    for (const sequence of [5, 1, 9, 3, 5]) table.put(record(sequence));
    table.delete(1);
    table.delete(4);
    expect(table.after(0).map(({ sequence }) => sequence)).toEqual([3, 5, 9]);
    expect(table.after(3, 1).map(({ sequence }) => sequence)).toEqual([5]);
    expect(table.after(9)).toEqual([]);
    expect(table.get(4)).toBeUndefined();
    expect(table.usageOf(Kind.CHANGE).count).toBe(3);
  });

  it("has the same records after a draft that added and removed some", () => {
    const state = new ClusterState();
    const stored = [1, 2, 3].map((sequence) => record(sequence));
    state.apply(stored.map((one) => ({ change: { kind: "put-audit", record: one }, revision: 1n })));
    const usage = state.audit.usageOf(Kind.CHANGE);
    state.draft((draft) => {
      draft.write([
        { kind: "put-audit", record: record(4) },
        { kind: "delete-audit", sequence: 1 },
        { kind: "delete-audit", sequence: 2 },
      ]);
      expect(state.audit.lastSequence).toBe(4);
    });
    expect(state.audit.after(0)).toEqual(stored);
    expect(state.audit.usageOf(Kind.CHANGE)).toEqual(usage);
  });
});

describe("a record in the store", () => {
  const put: Put = { kind: "put-audit", record: record(42) };

  it("has its sequence number in the key, so that keys sort in order", () => {
    expect(changeKey(put)).toBe("/berth/v1/audit/000000000042");
    const entry = { key: changeKey(put), value: encodeValue(put) ?? "", createRevision: 1n, modRevision: 1n };
    expect(decodeEntry(entry)).toEqual({ kind: "put", put });
  });

  it("a record cannot be read under the key of another record", () => {
    const key = "/berth/v1/audit/000000000041";
    const entry = { key, value: encodeValue(put) ?? "", createRevision: 1n, modRevision: 1n };
    expect(decodeEntry(entry)).toMatchObject({ kind: "unreadable" });
  });
});
