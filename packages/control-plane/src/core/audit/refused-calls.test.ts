import { AuditRecord_Kind as Kind } from "@berth/proto";
import { describe, expect, it } from "vitest";
import type { AuditedCall } from "./audit-record.js";
import { RefusedCalls } from "./refused-calls.js";

function refused(fields: Partial<AuditedCall> = {}): AuditedCall {
  return {
    kind: Kind.REFUSED,
    method: "DeployStack",
    caller: "",
    client: "10.0.0.9:50000",
    forwardedBy: "",
    subjects: [{ kind: "stack", id: "", name: "shop" }],
    summary: "",
    errorCode: "BERTH_SPEC_INVALID",
    count: 1,
    ...fields,
  };
}

const MINUTE_MS = 60_000;

describe("RefusedCalls", () => {
  it("counts equal calls of one host in one group, whatever their port and subject", () => {
    const calls = new RefusedCalls();
    for (let port = 1; port <= 1_000; port += 1) {
      const subjects = [{ kind: "stack", id: "", name: `shop-${port}` }];
      calls.add(refused({ client: `10.0.0.9:${port}`, subjects }), 0);
    }
    calls.add(refused({ client: "10.0.0.8:1" }), 0);
    expect(calls.take(0)).toMatchObject([
      { client: "10.0.0.9:1", count: 1_000, subjects: [{ name: "shop-1" }] },
      { client: "10.0.0.8:1", count: 1 },
    ]);
    expect(calls.isEmpty).toBe(true);
  });

  it("counts the calls over a Unix socket, whose client has no port, apart from those of a host", () => {
    const calls = new RefusedCalls();
    calls.add(refused({ client: "the server's host" }), 0);
    calls.add(refused({ client: "the server's hos:1" }), 0);
    expect(calls.take(0)).toHaveLength(2);
  });

  it("counts all calls beyond the limit of groups in one further group", () => {
    const calls = new RefusedCalls();
    for (let host = 0; host < 200; host += 1) calls.add(refused({ client: `10.0.0.${host}:1` }), 0);
    const groups = calls.take(0);
    expect(groups).toHaveLength(31);
    expect(groups.at(-1)).toMatchObject({ method: "(other)", client: "", subjects: [], count: 170 });
  });

  it("counts calls of known groups even after the limit was reached", () => {
    const calls = new RefusedCalls();
    for (let host = 0; host < 40; host += 1) calls.add(refused({ client: `10.0.0.${host}:1` }), 0);
    calls.add(refused({ client: "10.0.0.0:2" }), 0);
    expect(calls.take(0)[0]).toMatchObject({ client: "10.0.0.0:1", count: 2 });
  });

  it("leaves groups for others when one caller is refused everywhere", () => {
    const calls = new RefusedCalls();
    for (let i = 0; i < 40; i += 1) calls.add(refused({ caller: 'node "n1"', method: `Method${i}` }), 0);
    calls.add(refused({ caller: 'user "vera"' }), 0);
    const groups = calls.take(0);
    expect(groups).toHaveLength(7);
    expect(groups[5]).toMatchObject({ caller: 'node "n1"', method: "(other)", count: 35 });
    expect(groups[6]).toMatchObject({ caller: 'user "vera"', method: "DeployStack", count: 1 });
  });

  it("writes a group once a minute, and ever less often while it is refused again and again", () => {
    const calls = new RefusedCalls();
    const written: number[] = [];
    for (let minute = 0; minute < 240; minute += 1) {
      calls.add(refused(), minute * MINUTE_MS);
      if (calls.take(minute * MINUTE_MS).length > 0) written.push(minute);
    }
    expect(written).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183]);
  });

  it("writes a group at once again after its interval without a call", () => {
    const calls = new RefusedCalls();
    calls.add(refused(), 0);
    calls.take(0);
    calls.add(refused(), MINUTE_MS - 1);
    expect(calls.take(MINUTE_MS - 1)).toEqual([]);
    expect(calls.take(MINUTE_MS)).toMatchObject([{ count: 1 }]);
    expect(calls.isEmpty).toBe(true);
    calls.add(refused(), 4 * MINUTE_MS);
    expect(calls.take(4 * MINUTE_MS)).toMatchObject([{ count: 1 }]);
  });
});
