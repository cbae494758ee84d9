import { describe, expect, it } from "vitest";
import { decodeTraffic, TrafficTotals } from "./traffic.js";

const message = (timeMs: number, nodeId: string, connections: number, failed = 0) =>
  decodeTraffic({
    timeMs,
    hosts: [{ nodeId, services: [{ serviceId: "s1", connections, failed, active: 2 }] }],
  });

describe("TrafficTotals", () => {
  it("counts from the first message on, and returns rates", () => {
    const totals = new TrafficTotals();
    totals.add(message(1_000, "n1", 500));
    totals.add(message(2_000, "n1", 600, 3));
    expect(totals.ofService("s1")).toEqual([
      { nodeId: "n1", connections: 100, failed: 3, retried: 0, active: 2, perSecond: 100 },
    ]);
    expect(totals.ratesOf("s1")).toEqual([{ atMs: 2_000, perSecond: 100, failedPerSecond: 3 }]);
  });

  it("continues to count when an ingress process starts again from 0", () => {
    const totals = new TrafficTotals();
    totals.add(message(1_000, "n1", 500));
    totals.add(message(2_000, "n1", 510));
    totals.add(message(3_000, "n1", 4));
    expect(totals.sum()).toMatchObject({ connections: 14 });
  });

  it("has no rate for a host whose counters do not change", () => {
    const totals = new TrafficTotals();
    totals.add(message(1_000, "n1", 1));
    totals.add(message(2_000, "n1", 11));
    totals.add(decodeTraffic({ timeMs: 9_000, hosts: [] }));
    expect(totals.sum()).toMatchObject({ perSecond: 0, connections: 10 });
  });
});
