import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseVoters, evaluateVotes, isUnanimous } from "./probe-votes.js";

describe("chooseVoters", () => {
  it("chooses five or three peers, or all of fewer peers and the leader", () => {
    const peers = fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 12 });
    fc.assert(
      fc.property(peers, fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), (live, draws) => {
        const chosen = chooseVoters(live, () => draws.next().value);
        expect(new Set(chosen.peers).size).toBe(chosen.peers.length);
        expect(live).toEqual(expect.arrayContaining([...chosen.peers]));
        expect(chosen.includesServer).toBe(live.length < 3);
        expect(chosen.peers.length).toBe(live.length >= 5 ? 5 : Math.min(live.length, 3));
      }),
    );
  });
});

describe("evaluateVotes", () => {
  it.each([
    [{ asked: 1, silent: 1, alive: 0 }, "silent"],
    [{ asked: 2, silent: 1, alive: 0 }, "unknown"],
    [{ asked: 2, silent: 1, alive: 1 }, "lives"],
    [{ asked: 2, silent: 2, alive: 0 }, "silent"],
    [{ asked: 3, silent: 2, alive: 1 }, "silent"],
    [{ asked: 3, silent: 1, alive: 1 }, "lives"],
    [{ asked: 5, silent: 2, alive: 0 }, "unknown"],
    [{ asked: 0, silent: 0, alive: 0 }, "unknown"],
  ] as const)("%o: %s", (votes, evidence) => {
    expect(evaluateVotes(votes)).toBe(evidence);
  });
});

describe("isUnanimous", () => {
  it.each([
    [{ asked: 1, silent: 1, alive: 0 }, false],
    [{ asked: 2, silent: 2, alive: 0 }, true],
    [{ asked: 3, silent: 2, alive: 0 }, false],
    [{ asked: 0, silent: 0, alive: 0 }, false],
  ] as const)("%o: %s", (votes, unanimous) => {
    expect(isUnanimous(votes)).toBe(unanimous);
  });
});
