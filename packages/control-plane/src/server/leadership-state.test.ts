import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { Role } from "./role.js";

const LEADER = "10.0.0.1:7400";
const never = new AbortController().signal;

let clock: ManualClock;
let role: Role;

beforeEach(() => {
  clock = new ManualClock();
  role = new Role(clock);
  role.setOwnAddress("10.0.0.2:7400");
  role.setLeaderAddress(LEADER);
});

describe("Role", () => {
  it("routes no calls to a suspect leader until it answers or another one is elected", async () => {
    role.setLeaderSuspect(true);
    expect(role.route).toBeUndefined();
    role.setLeaderSuspect(false);
    expect(role.route).toEqual({ kind: "remote", address: LEADER });
    role.setLeaderSuspect(true);
    const next = role.waitForRoute(1_000, never);
    role.setLeaderAddress("10.0.0.3:7400");
    await expect(next).resolves.toEqual({ kind: "remote", address: "10.0.0.3:7400" });
  });

  it("fails with BERTH_NO_LEADER when no leader appears in time", async () => {
    role.setLeaderAddress(undefined);
    const waiting = expect(role.waitForRoute(1_000, never)).rejects.toMatchObject({
      code: "BERTH_NO_LEADER",
    });
    await clock.advance(1_000);
    await waiting;
  });

  it("notifies forwarded calls once when their leader is lost, and finished calls never", () => {
    let losses = 0;
    role.onRouteLost(LEADER, () => {
      losses += 1;
    });
    const cancel = role.onRouteLost(LEADER, () => {
      losses += 100;
    });
    role.setLeaderAddress(LEADER);
    expect(losses).toBe(0);
    cancel();
    role.setLeaderSuspect(true);
    role.setLeaderAddress("10.0.0.3:7400");
    expect(losses).toBe(1);
  });
});
