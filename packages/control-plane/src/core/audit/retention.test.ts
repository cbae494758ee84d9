import { AuditRecord, AuditRecord_Kind as Kind } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { AuditTable } from "../../state/audit-table.js";
import { AUDIT_LIMITS, selectExpired } from "./retention.js";

function record(sequence: number, kind: Kind, summary = ""): AuditRecord {
  return AuditRecord.fromPartial({ sequence, kind, summary });
}

/** Adds records one by one as the audit log does. Returns how often records were removed. */
function addAll(table: AuditTable, records: readonly AuditRecord[]): number {
  let removals = 0;
  for (const added of records) {
    const expired = selectExpired(table, added.kind, [added]);
    table.put(added);
    for (const { sequence } of expired) table.delete(sequence);
    if (expired.length > 0) removals += 1;
    expect(table.usageOf(added.kind).count).toBeLessThanOrEqual(AUDIT_LIMITS[added.kind].maxRecords);
    expect(table.usageOf(added.kind).bytes).toBeLessThanOrEqual(AUDIT_LIMITS[added.kind].maxBytes);
  }
  return removals;
}

describe("selectExpired", () => {
  it("removes the oldest records in batches when there are more than the limit", () => {
    const table = new AuditTable();
    const records = Array.from({ length: 600 }, (_, i) => record(i + 1, Kind.REFUSED));
    const removals = addAll(table, records);
    expect(removals).toBeGreaterThan(2);
    expect(removals).toBeLessThan(6);
    expect(table.last?.sequence).toBe(600);
    expect(table.after(0)[0]?.sequence).toBe(600 - table.size + 1);
  });

  it("removes the oldest records when they take more bytes than the limit", () => {
    const table = new AuditTable();
    const text = "x".repeat(4_000);
    const records = Array.from({ length: 500 }, (_, i) => record(i + 1, Kind.REFUSED, text));
    addAll(table, records);
    expect(table.size).toBeLessThan(130);
    expect(table.size).toBeGreaterThan(100);
  });

  it("keeps all records of changes while refused calls and executed commands exceed their limits", () => {
    const table = new AuditTable();
    const changes = Array.from({ length: 50 }, (_, i) => record(i + 1, Kind.CHANGE));
    addAll(table, changes);
    const kinds = [Kind.REFUSED, Kind.ACCESS];
    addAll(
      table,
      Array.from({ length: 6_000 }, (_, i) => record(51 + i, kinds[i % 2] ?? Kind.REFUSED)),
    );
    expect([...table.ofKind(Kind.CHANGE)]).toEqual(changes);
  });

  it.each([
    ["is refused again and again", Kind.REFUSED],
    ["makes changes again and again", Kind.CHANGE],
  ])("removes no record of other callers for a caller who %s", (_, kind) => {
    const table = new AuditTable();
    const of = (sequence: number, caller: string): AuditRecord =>
      AuditRecord.fromPartial({ sequence, kind, caller });
    const others = Array.from({ length: 200 }, (_, i) => of(i + 1, `user ${i % 4}`));
    addAll(table, others);
    addAll(
      table,
      Array.from({ length: 6_000 }, (_, i) => of(201 + i, "node n1")),
    );
    expect([...table.ofKind(kind)].filter(({ caller }) => caller !== "node n1")).toEqual(others);
  });

  it("limits the removals of one decision, so that they fit into its transaction", () => {
    const table = new AuditTable();
    for (let i = 1; i <= 900; i += 1) table.put(record(i, Kind.REFUSED));
    expect(selectExpired(table, Kind.REFUSED, [record(901, Kind.REFUSED)])).toHaveLength(64);
  });
});
