import { AGENT_FENCES_AFTER_MS } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Fence } from "./fence.js";

let fence: Fence;
let changes: boolean[];

beforeEach(() => {
  vi.useFakeTimers();
  changes = [];
  fence = new Fence({ onChange: () => changes.push(fence.isFenced), log: pino({ level: "silent" }) });
});
afterEach(() => {
  fence.close();
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe("Fence", () => {
  it("fences the node when nothing sent within its timeout was acknowledged", async () => {
    fence.requestAcks();
    await pass(1_000);
    const sentMs = fence.heartbeatNumber();
    await pass(1_500);
    fence.recordAck(sentMs);
    await pass(AGENT_FENCES_AFTER_MS - 1_501);
    expect(changes).toEqual([]);
    await pass(2);
    expect(changes).toEqual([true]);
    expect(fence.needsAck).toBe(true);
  });

  it("ends with the next acknowledgement, but not with one of an old heartbeat", async () => {
    fence.requestAcks();
    const oldMs = fence.heartbeatNumber();
    await pass(AGENT_FENCES_AFTER_MS + 10);
    fence.recordAck(oldMs);
    expect(changes).toEqual([true]);
    fence.recordAck(fence.heartbeatNumber());
    expect(changes).toEqual([true, false]);
    await pass(AGENT_FENCES_AFTER_MS + 1);
    expect(changes).toEqual([true, false, true]);
  });

  it("requests acknowledgements only once there is an at-most-one task", () => {
    expect(fence.heartbeatNumber()).toBe(0);
    fence.requestAcks();
    expect(fence.heartbeatNumber()).toBeGreaterThan(0);
  });

  it("ignores an acknowledgement of a heartbeat from the future", async () => {
    fence.requestAcks();
    fence.recordAck(performance.now() + 60_000);
    await pass(AGENT_FENCES_AFTER_MS + 1);
    expect(changes).toEqual([true]);
  });
});
