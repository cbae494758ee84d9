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

describe("a peer", () => {
  it("is silent when nothing of what it was asked in two intervals had an answer", () => {
    expect(withSilence(answered, at(350)).isSilent).toBe(false);
    expect(withSilence(answered, at(351)).isSilent).toBe(true);
  });

  it("is asked again and again from when its answer is overdue until it counts as silent", () => {
    expect(isOverdue(answered, at(150))).toBe(false);
    expect(isOverdue(answered, at(200))).toBe(true);
    expect(isOverdue(withSilence(answered, at(351)), at(351))).toBe(false);
    expect(isOverdue(UNKNOWN_PEER, at(351))).toBe(false);
    expect(nextCheckMs(150, false)).toBe(50);
    expect(200 + 8 * nextCheckMs(150, true)).toBe(350);
    expect(2_050 + 8 * nextCheckMs(2_000, true)).toBe(4_050);
  });

  it("is given the time for which we ourselves were late, then and from then on", () => {
    const late = withSilence(answered, at(3_000, 2_700));
    expect(late.isSilent).toBe(false);
    expect(withSilence(late, at(3_050)).isSilent).toBe(false);
    expect(withSilence(late, at(3_051)).isSilent).toBe(true);
    expect(withSilence(afterAnswer(late, 3_050), at(3_401)).isSilent).toBe(true);
  });

  it("is given more time where it is asked more rarely", () => {
    expect(withSilence(answered, { ...at(1_000), intervalMs: 500 }).isSilent).toBe(false);
    expect(withSilence(answered, { ...at(1_051), intervalMs: 500 }).isSilent).toBe(true);
  });

  it("that has never answered is not missed", () => {
    expect(withSilence(UNKNOWN_PEER, at(1e9)).isSilent).toBe(false);
  });

  it("is back after three answers in a row", () => {
    const silent = withSilence(answered, at(500));
    const twice = afterAnswer(afterAnswer(silent, 600), 700);
    expect(twice.isSilent).toBe(true);
    expect(afterAnswer(twice, 800).isSilent).toBe(false);
    expect(afterAnswer(afterMiss(twice), 800).isSilent).toBe(true);
  });
});

describe("silentPeers()", () => {
  const peers = (...silent: readonly boolean[]): ReadonlyMap<string, PeerHealth> =>
    new Map(silent.map((isSilent, index) => [`n${index}`, { ...answered, isSilent }]));

  it("names those that are silent, up to half of all hosts", () => {
    expect([...silentPeers(peers(true))]).toEqual(["n0"]);
    expect([...silentPeers(peers(true, false))]).toEqual(["n0"]);
    expect([...silentPeers(peers(true, true, false))]).toEqual(["n0", "n1"]);
  });

  it("names nobody when more than half are: it is this host that is cut off", () => {
    expect(silentPeers(peers(true, true)).size).toBe(0);
    expect(silentPeers(peers(true, true, true, false)).size).toBe(0);
  });
});

it("probeIntervalMs() keeps the cost where it is beyond a dozen peers", () => {
  expect([2, 12, 50, 10_000].map(probeIntervalMs)).toEqual([150, 150, 600, 2_000]);
});
