import { AuditRecord, BerthError } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

function record(fields: Parameters<typeof AuditRecord.fromPartial>[0]) {
  const value = AuditRecord.fromPartial({ count: 1, client: "10.0.0.9:50000", ...fields });
  return { message: { $case: "record" as const, value } };
}

const deployed = record({
  sequence: 41,
  timeMs: 1_764_000_000_000,
  method: "DeployStack",
  subjects: [{ kind: "stack", name: "shop" }],
  summary: "shop_web: image app:1 -> app:2",
  epoch: 3,
});

const refused = record({
  sequence: 43,
  timeMs: 1_764_000_000_123,
  method: "RemoveServices",
  subjects: [
    { kind: "service", name: "shop_web" },
    { kind: "service", name: "shop_\u001b[2Jx" },
  ],
  omittedSubjects: 3,
  errorCode: "BERTH_NOT_FOUND",
  count: 12,
});

describe("audit", () => {
  const streamAudit: FakeControlHandlers["streamAudit"] = async function* () {
    yield deployed;
    yield refused;
  };

  test("prints a table of records that is safe for a terminal", async () => {
    const { code, out } = await berth("audit", { streamAudit });
    expect(code).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "TIME                       WHO   FROM             ACTION           SUBJECT                                     RESULT                       DETAILS
      2025-11-24T16:00:00.000Z   -     10.0.0.9:50000   DeployStack      stack shop                                  ok                           shop_web: image app:1 -> app:2
      2025-11-24T16:00:00.123Z   -     10.0.0.9:50000   RemoveServices   service shop_web, shop_\\u001b[2Jx, 3 more   BERTH_NOT_FOUND (12 times)
      "
    `);
  });

  test("-o json prints one object per line", async () => {
    const { out } = await berth("audit -o json", { streamAudit });
    const lines = out.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { sequence: 41, time: "2025-11-24T16:00:00.000Z", method: "DeployStack", result: "ok", epoch: 3 },
      { sequence: 43, result: "BERTH_NOT_FOUND", count: 12 },
    ]);
  });

  test("-f resumes after the last record when the leader changes", async () => {
    const requests: object[] = [];
    const follow: FakeControlHandlers["streamAudit"] = async function* (request) {
      requests.push(request);
      yield requests.length === 1 ? deployed : refused;
      if (requests.length === 1) throw new BerthError({ code: "BERTH_NOT_LEADER", message: "not any more" });
    };
    const { code, out } = await berth("audit -f --limit 5", { streamAudit: follow });
    expect(code).toBe(0);
    expect(out.split("\n").map((line) => line.slice(0, 4))).toEqual(["TIME", "2025", "2025", ""]);
    expect(requests).toMatchObject([
      { follow: true, limit: 5, afterSequence: 0 },
      { follow: true, limit: 5, afterSequence: 41 },
    ]);
  });

  test("rejects a limit that is not a number", async () => {
    const { code, err } = await berth("audit --limit all", { streamAudit });
    expect(code).not.toBe(0);
    expect(err).toContain("--limit");
  });
});
