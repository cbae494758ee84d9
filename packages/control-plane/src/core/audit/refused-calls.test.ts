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

describe("RefusedCalls", () => {
  it("counts equal calls of one host in one group, whatever their port and subject", () => {
    const calls = new RefusedCalls();
    for (let port = 1; port <= 1_000; port += 1) {
      const subjects = [{ kind: "stack", id: "", name: `shop-${port}` }];
      calls.add(refused({ client: `10.0.0.9:${port}`, subjects }));
    }
    calls.add(refused({ client: "10.0.0.8:1" }));
    expect(calls.take()).toMatchObject([
      { client: "10.0.0.9:1", count: 1_000, subjects: [{ name: "shop-1" }] },
      { client: "10.0.0.8:1", count: 1 },
    ]);
    expect(calls.isEmpty).toBe(true);
  });

  it("counts all calls beyond the limit of groups in one further group", () => {
    const calls = new RefusedCalls();
    for (let host = 0; host < 200; host += 1) calls.add(refused({ client: `10.0.0.${host}:1` }));
    const groups = calls.take();
    expect(groups).toHaveLength(21);
    expect(groups.at(-1)).toMatchObject({ method: "(other)", client: "", subjects: [], count: 180 });
  });

  it("still counts calls of known groups after the limit was reached", () => {
    const calls = new RefusedCalls();
    for (let host = 0; host < 30; host += 1) calls.add(refused({ client: `10.0.0.${host}:1` }));
    calls.add(refused({ client: "10.0.0.0:2" }));
    expect(calls.take()[0]).toMatchObject({ client: "10.0.0.0:1", count: 2 });
  });
});
