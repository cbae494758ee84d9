import { describe, expect, it } from "vitest";
import {
  afterAnswer,
  afterMiss,
  isOverdue,
  nextCheckMs,
  type PeerHealth,
  probeIntervalMs,
  silentPeers,
  UNKNOWN_PEER,
  withSilence,
} from "./peer-health.js";

const at = (nowMs: number, lagMs = 0) => ({ nowMs, lagMs, intervalMs: 150 });
const answered = afterAnswer(UNKNOWN_PEER, 0);

describe("the health of a peer", () => {
  it("becomes silent when no probe of two intervals is answered", () => {
    expect(withSilence(answered, at(350)).isSilent).toBe(false);
    expect(withSilence(answered, at(351)).isSilent).toBe(true);
  });

  it("is overdue, and probed repeatedly, until it becomes silent", () => {
    expect(isOverdue(answered, at(150))).toBe(false);
    expect(isOverdue(answered, at(200))).toBe(true);
    expect(isOverdue(withSilence(answered, at(351)), at(351))).toBe(false);
    expect(isOverdue(UNKNOWN_PEER, at(351))).toBe(false);
    expect(nextCheckMs(150, false)).toBe(50);
    expect(200 + 8 * nextCheckMs(150, true)).toBe(350);
    expect(2_050 + 8 * nextCheckMs(2_000, true)).toBe(4_050);
  });

  it("excuses the time in which this host was busy", () => {
    const late = withSilence(answered, at(3_000, 2_700));
    expect(late.isSilent).toBe(false);
    expect(withSilence(late, at(3_050)).isSilent).toBe(false);
    expect(withSilence(late, at(3_051)).isSilent).toBe(true);
    expect(withSilence(afterAnswer(late, 3_050), at(3_401)).isSilent).toBe(true);
  });

  it("allows more time when the probe interval is longer", () => {
    expect(withSilence(answered, { ...at(1_000), intervalMs: 500 }).isSilent).toBe(false);
    expect(withSilence(answered, { ...at(1_051), intervalMs: 500 }).isSilent).toBe(true);
  });

  it("does not become silent when the peer has never answered", () => {
    expect(withSilence(UNKNOWN_PEER, at(1e9)).isSilent).toBe(false);
  });

  it("recovers after three answers in a row", () => {
    const silent = withSilence(answered, at(500));
    const twice = afterAnswer(afterAnswer(silent, 600), 700);
    expect(twice.isSilent).toBe(true);
    expect(afterAnswer(twice, 800).isSilent).toBe(false);
    expect(afterAnswer(afterMiss(twice), 800).isSilent).toBe(true);
  });
});

describe("silentPeers", () => {
  const peers = (...silent: readonly boolean[]): ReadonlyMap<string, PeerHealth> =>
    new Map(silent.map((isSilent, index) => [`n${index}`, { ...answered, isSilent }]));

  it("returns the silent peers, up to half of all hosts", () => {
    expect([...silentPeers(peers(true))]).toEqual(["n0"]);
    expect([...silentPeers(peers(true, false))]).toEqual(["n0"]);
    expect([...silentPeers(peers(true, true, false))]).toEqual(["n0", "n1"]);
  });

  it("returns none when more than half are silent, because this host is probably cut off", () => {
    expect(silentPeers(peers(true, true)).size).toBe(0);
    expect(silentPeers(peers(true, true, true, false)).size).toBe(0);
  });
});

it("probeIntervalMs grows with the number of peers beyond a dozen", () => {
  expect([2, 12, 50, 10_000].map(probeIntervalMs)).toEqual([150, 150, 600, 2_000]);
});
