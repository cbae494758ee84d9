import { describe, expect, it } from "vitest";
import {
  afterMiss,
  afterReply,
  nextCheckMs,
  type PeerHealth,
  probeIntervalMs,
  silentPeers,
  UNKNOWN_PEER,
  withSilence,
} from "./peer-health.js";

const at = (nowMs: number, lagMs = 0) => ({ nowMs, lagMs, intervalMs: 150 });
const answered = afterReply(UNKNOWN_PEER, 0);

describe("the health of a peer", () => {
  it("becomes silent when no probe of two intervals is answered", () => {
    expect(withSilence(answered, at(270)).isSilent).toBe(false);
    expect(withSilence(answered, at(271)).isSilent).toBe(true);
  });

  it("leaves room for nine repetitions before it becomes silent", () => {
    expect(nextCheckMs(150, false)).toBe(30);
    expect(180 + 9 * nextCheckMs(150, true)).toBe(270);
    expect(2_030 + 9 * nextCheckMs(2_000, true)).toBe(3_600);
  });

  it("excuses the time in which this host was busy", () => {
    const late = withSilence(answered, at(3_000, 2_780));
    expect(late.isSilent).toBe(false);
    expect(withSilence(late, at(3_050)).isSilent).toBe(false);
    expect(withSilence(late, at(3_051)).isSilent).toBe(true);
    expect(withSilence(afterReply(late, 3_050), at(3_321)).isSilent).toBe(true);
  });

  it("allows more time when the probe interval is longer", () => {
    expect(withSilence(answered, { ...at(900), intervalMs: 500 }).isSilent).toBe(false);
    expect(withSilence(answered, { ...at(901), intervalMs: 500 }).isSilent).toBe(true);
  });

  it("does not become silent when the peer has never answered", () => {
    expect(withSilence(UNKNOWN_PEER, at(1e9)).isSilent).toBe(false);
  });

  it("recovers after three answers in a row", () => {
    const silent = withSilence(answered, at(500));
    const twice = afterReply(afterReply(silent, 600), 700);
    expect(twice.isSilent).toBe(true);
    expect(afterReply(twice, 800).isSilent).toBe(false);
    expect(afterReply(afterMiss(twice), 800).isSilent).toBe(true);
  });
});

describe("silentPeers", () => {
  const peers = (...silent: readonly boolean[]): ReadonlyMap<string, PeerHealth> =>
    new Map(silent.map((isSilent, index) => [`n${index}`, { ...answered, isSilent }]));

  it("returns the silent peers, up to half of all hosts", () => {
    expect([...silentPeers(peers(true), new Set())]).toEqual(["n0"]);
    expect([...silentPeers(peers(true, false), new Set())]).toEqual(["n0"]);
    expect([...silentPeers(peers(true, true, false), new Set())]).toEqual(["n0", "n1"]);
  });

  it("adds none when more than half are silent, because this host is probably cut off", () => {
    expect(silentPeers(peers(true, true), new Set()).size).toBe(0);
    expect(silentPeers(peers(true, true, true, false), new Set()).size).toBe(0);
    expect([...silentPeers(peers(true, true), new Set(["n1"]))]).toEqual(["n1"]);
    expect(silentPeers(peers(true, false), new Set(["n1"]))).toEqual(new Set(["n0"]));
  });
});

it("probeIntervalMs grows with the number of peers beyond a dozen", () => {
  expect([2, 12, 50, 10_000].map(probeIntervalMs)).toEqual([150, 150, 600, 2_000]);
});
