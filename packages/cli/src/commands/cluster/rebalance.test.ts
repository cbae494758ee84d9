import { RebalanceResponse, Task } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const requests: unknown[] = [];
const rebalance: FakeControlHandlers["rebalance"] = async (request) => {
  requests.push(request);
  return RebalanceResponse.fromPartial({
    moves: [
      {
        task: Task.fromPartial({ id: "taskone", serviceName: "shop_web", slot: 3 }),
        fromNodeId: "n1",
        fromHostname: "host-1",
        toNodeId: "n3",
        toHostname: "host-3",
        reason: "shop_web is uneven over nodes: 3 tasks against 0",
      },
    ],
  });
};

describe("rebalance", () => {
  test("prints the moves with their reasons", async () => {
    const { out } = await berth("rebalance --dry-run --max-moves 5", { rebalance });
    expect(requests.at(-1)).toEqual({ dryRun: true, maxMoves: 5 });
    expect(out).toMatchInlineSnapshot(`
      "TASK         FROM     TO       REASON
      shop_web.3   host-1   host-3   shop_web is uneven over nodes: 3 tasks against 0
      "
    `);
  });

  test("prints a message without moves, and an empty list with -o json", async () => {
    const none: FakeControlHandlers = { rebalance: async () => ({ moves: [] }) };
    expect((await berth("rebalance", none)).out).toContain("Nothing to move");
    expect(JSON.parse((await berth("rebalance -o json", none)).out)).toEqual([]);
  });

  test("rejects an invalid number of moves", async () => {
    const { code, err } = await berth("rebalance --max-moves few", { rebalance });
    expect(code).toBe(2);
    expect(err).toContain("--max-moves");
  });
});
