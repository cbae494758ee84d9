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
  it("sends nobody to a leader that seems to be gone, until it answers or another leads", async () => {
    role.setLeaderSuspect(true);
    expect(role.target).toBeUndefined();
    role.setLeaderSuspect(false);
    expect(role.target).toEqual({ kind: "other", address: LEADER });
    role.setLeaderSuspect(true);
    const next = role.waitForTarget(1_000, never);
    role.setLeaderAddress("10.0.0.3:7400");
    await expect(next).resolves.toEqual({ kind: "other", address: "10.0.0.3:7400" });
  });

  it("gives up waiting in the end", async () => {
    role.setLeaderAddress(undefined);
    const waiting = expect(role.waitForTarget(1_000, never)).rejects.toMatchObject({
      code: "BERTH_NO_LEADER",
    });
    await clock.advance(1_000);
    await waiting;
  });

  it("tells calls that are passed on when their leader is gone, once, and those that are over not at all", () => {
    let departures = 0;
    role.onDeparture(LEADER, () => {
      departures += 1;
    });
    const forget = role.onDeparture(LEADER, () => {
      departures += 100;
    });
    role.setLeaderAddress(LEADER);
    expect(departures).toBe(0);
    forget();
    role.setLeaderSuspect(true);
    role.setLeaderAddress("10.0.0.3:7400");
    expect(departures).toBe(1);
  });
});
