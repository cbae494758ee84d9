import { describe, expect, it } from "vitest";
import { FlowTable } from "./flow-table.js";

describe("FlowTable", () => {
  it("expires an unanswered flow after 30 s and an answered flow after 180 s", () => {
    const flows = new FlowTable<string>(10);
    flows.add("c1", "asked", 0);
    flows.add("c2", "answered", 0);
    flows.recordReply("c2", 1_000);
    expect(flows.expire(29_999)).toEqual([]);
    expect(flows.expire(30_000)).toEqual(["asked"]);
    expect(flows.expire(180_999)).toEqual([]);
    expect(flows.expire(181_000)).toEqual(["answered"]);
    expect(flows.size).toBe(0);
  });

  it("measures idle time from the last datagram", () => {
    const flows = new FlowTable<string>(10);
    flows.add("c1", "flow", 0);
    expect(flows.use("c1", 25_000)).toBe("flow");
    expect(flows.expire(40_000)).toEqual([]);
    expect(flows.expire(55_000)).toEqual(["flow"]);
  });

  it("evicts the oldest unanswered flow when full, or an answered one if there is no other", () => {
    const flows = new FlowTable<string>(2);
    flows.add("c1", "answered", 0);
    flows.recordReply("c1", 0);
    flows.add("c2", "asked", 1);
    expect(flows.add("c3", "new", 2)).toBe("asked");
    flows.recordReply("c3", 3);
    expect(flows.add("c4", "newer", 4)).toBe("answered");
    expect(flows.size).toBe(2);
  });
});
