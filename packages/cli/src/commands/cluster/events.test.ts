import { BerthError, ClusterEvent } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

function event(fields: Parameters<typeof ClusterEvent.fromPartial>[0]) {
  return { message: { $case: "event" as const, value: ClusterEvent.fromPartial(fields) } };
}

describe("events", () => {
  const failed = event({
    epoch: 3,
    sequence: 8,
    timeMs: 1_764_000_000_123,
    reason: "TASK_FAILED",
    message: "exit code 1",
    isWarning: true,
    serviceName: "shop_web",
    slot: 2,
    taskId: "taskonexxxxxxxxx",
    nodeHostname: "host-1",
  });

  test("prints one line per event: time, reason, subject and message", async () => {
    const streamEvents: FakeControlHandlers["streamEvents"] = async function* () {
      yield event({
        timeMs: 1_764_000_000_000,
        reason: "NODE_DOWN",
        nodeHostname: "host-2",
        isReconstructed: true,
      });
      yield failed;
    };
    const { code, out } = await berth("events", { streamEvents });
    expect(code).toBe(0);
    expect(out).toBe(
      `2025-11-24T16:00:00.000Z  NODE_DOWN          host-2  (reconstructed)\n` +
        `2025-11-24T16:00:00.123Z  TASK_FAILED        shop_web.2.taskonexxxxx@host-1  exit code 1\n`,
    );
    expect(
      JSON.parse((await berth("events -o json", { streamEvents })).out.split("\n")[1] ?? ""),
    ).toMatchObject({
      reason: "TASK_FAILED",
      serviceName: "shop_web",
      epoch: 3,
    });
  });

  test("-f resumes after the last event when the leader changes", async () => {
    const requests: object[] = [];
    const streamEvents: FakeControlHandlers["streamEvents"] = async function* (request) {
      requests.push(request);
      yield failed;
      if (requests.length === 1) throw new BerthError({ code: "BERTH_NOT_LEADER", message: "not any more" });
    };
    const { code, out } = await berth("events -f --service shop_web", { streamEvents });
    expect(code).toBe(0);
    expect(out.split("\n")).toHaveLength(3);
    expect(requests).toMatchObject([
      { service: "shop_web", afterEpoch: 0, sinceMs: 0 },
      { service: "shop_web", afterEpoch: 3, afterSequence: 8, sinceMs: 1_764_000_000_123 },
    ]);
  });

  test("-f prints each event of the millisecond of a leader change once", async () => {
    let calls = 0;
    const other = event({ epoch: 4, timeMs: 1_764_000_000_123, reason: "TASK_STARTED", taskId: "tasktwo" });
    const repeated = event({ ...failed.message.value, epoch: 4, sequence: 0, isReconstructed: true });
    const streamEvents: FakeControlHandlers["streamEvents"] = async function* () {
      calls += 1;
      yield* calls === 1 ? [failed] : [other, repeated];
      if (calls === 1) throw new BerthError({ code: "BERTH_NOT_LEADER", message: "not any more" });
    };
    const { out } = await berth("events -f", { streamEvents });
    expect(
      out
        .trimEnd()
        .split("\n")
        .map((line) => line.split("  ")[1]?.trim()),
    ).toEqual(["TASK_FAILED", "TASK_STARTED"]);
  });
});
