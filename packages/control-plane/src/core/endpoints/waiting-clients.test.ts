import { describe, expect, it } from "vitest";
import { WaitingClientsTracker } from "./waiting-clients.js";

const report = (waiting: number, total: number, refused = 0) => ({
  services: [{ serviceName: "shop_web", waiting, total, refused }],
});
const NONE = { services: [] };
const began = { kind: "began", serviceName: "shop_web" };

describe("WaitingClientsTracker", () => {
  it("reports once that clients wait, and once how many have waited on all nodes", () => {
    const tracker = new WaitingClientsTracker();
    expect(tracker.record("n1", report(1, 11), 1_000)).toEqual([began]);
    expect(tracker.record("n2", report(2, 2), 1_100)).toEqual([]);
    expect(tracker.record("n1", report(4, 14), 1_200)).toEqual([]);
    expect(tracker.record("n1", report(0, 14, 1), 2_000)).toEqual([]);
    expect(tracker.record("n2", report(0, 3), 3_500)).toEqual([
      { kind: "ended", serviceName: "shop_web", wait: { durationMs: 2_500, clients: 7, refused: 1 } },
    ]);
  });

  it("ends the wait of clients on a node that no longer reports them", () => {
    const tracker = new WaitingClientsTracker();
    tracker.record("n1", report(1, 1), 0);
    expect(tracker.record("n1", NONE, 500)).toMatchObject([{ kind: "ended", wait: { clients: 1 } }]);
  });

  it("does not report a service again whose clients have waited within the last 10 s", () => {
    const tracker = new WaitingClientsTracker();
    tracker.record("n1", report(1, 1), 0);
    tracker.record("n1", NONE, 1_000);
    expect(tracker.record("n1", report(1, 2), 2_000)).toEqual([]);
    expect(tracker.record("n1", NONE, 3_000)).toEqual([]);
    expect(tracker.record("n1", report(1, 3), 13_000)).toEqual([began]);
  });

  it("ignores a node without waiting clients", () => {
    const tracker = new WaitingClientsTracker();
    expect(tracker.record("n1", report(0, 5), 0)).toEqual([]);
    expect(tracker.record("n1", NONE, 0)).toEqual([]);
  });
});
