import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { LeadershipState } from "./leadership-state.js";

const LEADER = "10.0.0.1:7400";
const never = new AbortController().signal;

let clock: ManualClock;
let leadership: LeadershipState;

beforeEach(() => {
  clock = new ManualClock();
  leadership = new LeadershipState(clock);
  leadership.setOwnAddress("10.0.0.2:7400");
  leadership.setLeaderAddress(LEADER);
});

describe("LeadershipState", () => {
  it("routes no calls to a suspect leader until it answers or another one is elected", async () => {
    leadership.setLeaderSuspect(true);
    expect(leadership.route).toBeUndefined();
    leadership.setLeaderSuspect(false);
    expect(leadership.route).toEqual({ kind: "remote", address: LEADER });
    leadership.setLeaderSuspect(true);
    const next = leadership.waitForRoute(1_000, never);
    leadership.setLeaderAddress("10.0.0.3:7400");
    await expect(next).resolves.toEqual({ kind: "remote", address: "10.0.0.3:7400" });
  });

  it("fails with BERTH_NO_LEADER when no leader appears in time", async () => {
    leadership.setLeaderAddress(undefined);
    const waiting = expect(leadership.waitForRoute(1_000, never)).rejects.toMatchObject({
      code: "BERTH_NO_LEADER",
    });
    await clock.advance(1_000);
    await waiting;
  });

  it("notifies forwarded calls once when their leader is lost, and finished calls never", () => {
    let losses = 0;
    leadership.onRouteLost(LEADER, () => {
      losses += 1;
    });
    const cancel = leadership.onRouteLost(LEADER, () => {
      losses += 100;
    });
    leadership.setLeaderAddress(LEADER);
    expect(losses).toBe(0);
    cancel();
    leadership.setLeaderSuspect(true);
    leadership.setLeaderAddress("10.0.0.3:7400");
    expect(losses).toBe(1);
  });
});
