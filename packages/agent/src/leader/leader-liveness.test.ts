import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import { describe, expect, it, test } from "vitest";
import { Ticker } from "../runtime/ticker.js";
import { LeaderSilence, waitForHostLoss } from "./leader-liveness.js";

const never = new AbortController().signal;
const ticker = new Ticker({ signal: never });

test("waitForHostLoss reports a host at once whose server neither accepts nor refuses a connection", async () => {
  const ports: number[] = [];
  const probe: Probe = async ({ port }) => {
    ports.push(port);
    return false;
  };
  expect(await waitForHostLoss({ address: "10.0.0.1:7400", probe, ticker }, never)).toBe(true);
  expect(ports).toEqual([7400]);
});

test("waitForHostLoss then probes the host's kernel, which answers even if the server is busy", async () => {
  const answers = [true, true, false];
  const ports: number[] = [];
  const probe: Probe = async ({ port }) => {
    ports.push(port);
    return answers.shift() === true;
  };
  expect(await waitForHostLoss({ address: "[fd00::1]:7400", probe, ticker }, never)).toBe(true);
  expect(ports).toEqual([7400, PROBE_PORT, PROBE_PORT]);
});

test("waitForHostLoss does not probe servers known by a host name, and ends with its signal", async () => {
  const probe: Probe = async () => false;
  expect(await waitForHostLoss({ address: "server.example:7400", probe, ticker }, never)).toBe(false);
  expect(await waitForHostLoss({ address: "10.0.0.1:7400", probe, ticker }, AbortSignal.abort())).toBe(false);
});

/** Returns how long heartbeats go on until the leader counts as silent. */
function silentAfterMs(silence: LeaderSilence, { intervalMs = 250, fromMs = 0, lagMs = 0 }): number {
  for (let nowMs = fromMs; nowMs < fromMs + 60_000; nowMs += intervalMs) {
    if (silence.onHeartbeat({ nowMs, lagMs, intervalMs }).isSilent) return nowMs - fromMs;
  }
  return Number.POSITIVE_INFINITY;
}

describe("LeaderSilence", () => {
  it("requests an acknowledgement with the first heartbeat and every fourth after it", () => {
    const silence = new LeaderSilence(0);
    const asked = [0, 1, 2, 3, 4, 5].map(
      (nowMs) => silence.onHeartbeat({ nowMs, lagMs: 0, intervalMs: 250 }).requestsAck,
    );
    expect(asked).toEqual([true, false, false, false, true, false]);
  });

  it("counts a leader as silent after 3 s without a message", () => {
    expect(silentAfterMs(new LeaderSilence(0), {})).toBe(3_000);
    const silence = new LeaderSilence(0);
    silence.recordMessage(2_000);
    expect(silentAfterMs(silence, { fromMs: 2_000 })).toBe(3_000);
  });

  it("waits for two requests where heartbeats are rare", () => {
    expect(silentAfterMs(new LeaderSilence(0), { intervalMs: 1_000 })).toBe(8_000);
  });

  it("does not take the agent's own stall for silence of the leader", () => {
    const silence = new LeaderSilence(0);
    expect(silence.onHeartbeat({ nowMs: 30_000, lagMs: 29_750, intervalMs: 250 }).isSilent).toBe(false);
    expect(silentAfterMs(silence, { fromMs: 30_250 })).toBe(2_750);
  });
});
