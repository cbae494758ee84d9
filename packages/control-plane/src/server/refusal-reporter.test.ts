import { BerthError, AuditRecord_Kind as Kind, type RecordRefusedCallsRequest } from "@berth/proto";
import type { RpcTransport } from "@berth/proto/rpc";
import { pino } from "pino";
import { beforeEach, expect, it, vi } from "vitest";
import type { AuditedCall } from "../core/audit/audit-record.js";
import { ManualClock } from "../testing/manual-clock.js";
import { type LeaderComponents, LeadershipState } from "./leadership-state.js";
import { RefusalReporter } from "./refusal-reporter.js";

const LEADER = "10.0.0.1:7400";

let clock: ManualClock;
let leadership: LeadershipState;
let reporter: RefusalReporter;
let received: RecordRefusedCallsRequest[];
let isReachable: boolean;

beforeEach(() => {
  clock = new ManualClock();
  leadership = new LeadershipState(clock);
  leadership.setOwnAddress("10.0.0.2:7400");
  leadership.setLeaderAddress(LEADER);
  [received, isReachable] = [[], true];
  const recordRefusedCalls = async (request: RecordRefusedCallsRequest) => {
    if (!isReachable) throw new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "gone" });
    received.push(request);
    return {};
  };
  const connect = () => ({ address: LEADER, calls: { recordRefusedCalls }, close: () => {} });
  const { signal } = new AbortController();
  const transport = { connect } as unknown as RpcTransport;
  reporter = new RefusalReporter({ leadership, clock, transport, logger: pino({ level: "silent" }), signal });
});

function refuse(over: Partial<AuditedCall> = {}): void {
  const who = { caller: "node n1", client: "10.0.0.9:5000", forwardedBy: "", subjects: [], summary: "" };
  const what = { kind: Kind.REFUSED, method: "ListUsers", errorCode: "BERTH_PERMISSION_DENIED", count: 1 };
  reporter.record({ ...who, ...what, ...over });
}

/** Lets time pass in steps, so that the sends of each step end before the next one. */
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) await clock.advance(1_000);
}

it("follower-refusals: sends the first refused call at once, and those that follow as one count a minute later", async () => {
  refuse();
  await clock.advance(1);
  const first = { method: "ListUsers", caller: "node n1", client: "10.0.0.9:5000" };
  expect(received).toEqual([{ ...first, errorCode: "BERTH_PERMISSION_DENIED", count: 1 }]);
  for (let call = 0; call < 1_000; call += 1) refuse({ client: `10.0.0.9:${6_000 + call}` });
  await pass(50);
  expect(received).toHaveLength(1);
  await pass(20);
  expect(received.slice(1)).toMatchObject([{ ...first, client: "10.0.0.9:6000", count: 1_000 }]);
});

it("follower-refusals: sends at most 31 counts a minute, however many callers and methods are refused", async () => {
  for (let caller = 0; caller < 100; caller += 1) {
    for (let method = 0; method < 20; method += 1) {
      refuse({ caller: `node n${caller}`, method: `Method${method}` });
    }
  }
  await pass(60);
  expect(received.length).toBeLessThanOrEqual(31);
  expect(received.reduce((sum, { count }) => sum + count, 0)).toBe(2_000);
});

it("follower-refusals: sends calls again that the leader did not get, and records them itself once it leads", async () => {
  isReachable = false;
  refuse();
  await pass(30);
  expect(received).toEqual([]);
  isReachable = true;
  await pass(60);
  expect(received).toMatchObject([{ count: 1 }]);
  isReachable = false;
  refuse();
  const recordRefused = vi.fn();
  await pass(1);
  leadership.setLeader({ audit: { recordRefused } } as unknown as LeaderComponents);
  await pass(600);
  refuse({ method: "Join" });
  expect(recordRefused.mock.calls.map(([{ method }]) => method)).toEqual(["ListUsers", "Join"]);
  expect(received).toHaveLength(1);
});

it("follower-refusals: shortens texts of callers to what the leader accepts", async () => {
  refuse({ method: "M".repeat(5_000), client: "\u202e".repeat(5_000) });
  await clock.advance(1);
  expect(received[0]?.method).toHaveLength(128);
  expect(received[0]?.client).toMatch(/^\?+\.\.\.$/);
});
