import { TrafficReport } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../testing/manual-clock.js";
import type { AgentCommand, Session } from "../session.js";
import { TrafficCollector } from "./traffic-collector.js";

const { signal } = new AbortController();

function rig(nodeIds: readonly string[]) {
  const clock = new ManualClock();
  const orders: (readonly [string, AgentCommand])[] = [];
  const sessionOf = (nodeId: string): Session | undefined =>
    nodeIds.includes(nodeId)
      ? ({
          isEnded: false,
          send: (order: AgentCommand) => orders.push([nodeId, order]),
        } as unknown as Session)
      : undefined;
  const runtime = { clock, wallClockMs: () => 0, random: () => 0, newId: () => "q1" };
  return { clock, orders, inquiry: new TrafficCollector({ runtime, sessionOf }) };
}

describe("TrafficCollector", () => {
  it("returns when the last requested report has arrived", async () => {
    const { orders, inquiry } = rig(["a", "b"]);
    const asked = inquiry.collect("shop_web", ["a", "b", "gone"], signal);
    expect(orders.map(([nodeId, order]) => [nodeId, order.value])).toEqual([
      ["a", { requestId: "q1", serviceName: "shop_web" }],
      ["b", { requestId: "q1", serviceName: "shop_web" }],
    ]);
    const none = TrafficReport.fromPartial({ requestId: "q1" });
    const some = TrafficReport.fromPartial({ requestId: "q1", traffic: { connections: 7 } });
    inquiry.recordReport("a", some);
    inquiry.recordReport("a", none);
    inquiry.recordReport("stranger", some);
    inquiry.recordReport("b", none);
    expect(Object.fromEntries(await asked)).toEqual({ a: some, b: none });
  });

  it("returns after a second without the missing reports, and at once without nodes", async () => {
    const { clock, inquiry } = rig(["a"]);
    const asked = inquiry.collect("shop_web", ["a"], signal);
    await clock.advance(1_000);
    expect((await asked).size).toBe(0);
    inquiry.recordReport("a", TrafficReport.fromPartial({ requestId: "q1" }));
    expect((await inquiry.collect("shop_web", [], signal)).size).toBe(0);
  });

  it("requests nothing when the caller has left", async () => {
    const { orders, inquiry } = rig(["a"]);
    expect((await inquiry.collect("shop_web", ["a"], AbortSignal.abort())).size).toBe(0);
    expect(orders).toEqual([]);
  });
});
