import { AuditRecord_Kind as Kind } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { type AuditedCall, auditRecordBytes, createAuditRecord } from "./audit-record.js";

const POSITION = { sequence: 7, timeMs: 1_000, server: "10.0.0.1:7400", epoch: 3, call: 2 };

const CALL: AuditedCall = {
  kind: Kind.CHANGE,
  method: "DeployStack",
  caller: "",
  client: "10.0.0.9:50000",
  forwardedBy: "",
  subjects: [{ kind: "stack", id: "", name: "shop" }],
  summary: "shop_web created",
  errorCode: "",
  count: 1,
};

describe("createAuditRecord", () => {
  it("limits the number and the length of subjects, and counts those that are left out", () => {
    const subjects = Array.from({ length: 1_000 }, () => ({
      kind: "service",
      id: "x".repeat(10_000),
      name: "y".repeat(10_000),
    }));
    const record = createAuditRecord({ ...CALL, subjects, summary: "z".repeat(10_000) }, POSITION);
    expect(record.subjects).toHaveLength(10);
    expect(record.omittedSubjects).toBe(990);
    expect(JSON.stringify(record).length).toBeLessThan(4_096);
  });

  it("replaces everything but printable ASCII, so that the record can be written to a terminal", () => {
    const subjects = [{ kind: "node", id: "", name: "a\u001b[2Jb\n\u202ec" }];
    const record = createAuditRecord({ ...CALL, subjects, client: "\u0007[::1]:1" }, POSITION);
    expect(record.subjects[0]?.name).toBe("a?[2Jb??c");
    expect(record.client).toBe("?[::1]:1");
  });
});

describe("auditRecordBytes", () => {
  it("auditRecordBytes is at least the size of the record as JSON", () => {
    const record = createAuditRecord({ ...CALL, summary: "s".repeat(300) }, POSITION);
    const jsonBytes = JSON.stringify(record).length;
    expect(auditRecordBytes(record)).toBeGreaterThanOrEqual(jsonBytes);
    expect(auditRecordBytes(record)).toBeLessThan(jsonBytes + 400);
  });
});
