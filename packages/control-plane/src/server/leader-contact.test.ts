import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { LeaderContact } from "./leader-contact.js";
import type { TcpProbeResult } from "./probe-tcp.js";

const LEADER = { value: JSON.stringify({ address: "10.0.0.1:7400", host: "h1" }), epoch: 7n };

let clock: ManualClock;
let abort: AbortController;
let doubts: boolean[];
/** How the leader's address answers from now on. */
let answer: TcpProbeResult["kind"];
/** Ends the connection that is open. */
let hangUp: () => void;
let isMissedByOthers: boolean;

beforeEach(() => {
  clock = new ManualClock();
  abort = new AbortController();
  doubts = [];
  answer = "open";
  hangUp = () => {};
  isMissedByOthers = true;
});
afterEach(() => abort.abort());

function contact(self = "somebody else"): LeaderContact {
  return new LeaderContact({
    clock,
    logger: pino({ level: "silent" }),
    self,
    probeTcp: async (_address, timeoutMs) => {
      if (answer === "silent") await new Promise<void>((resolve) => void clock.after(timeoutMs, resolve));
      if (answer !== "open") return { kind: answer };
      const closed = new Promise<void>((resolve) => {
        hangUp = resolve;
      });
      return { kind: "open", closed, close: () => {} };
    },
    havePeersLostLeader: async () => isMissedByOthers,
    onSuspicion: (isDoubtful) => doubts.push(isDoubtful),
  });
}

/** Whether the leader has been declared dead. */
function follow(own: LeaderContact): () => boolean {
  let isDead = false;
  void own.untilDead(LEADER, abort.signal).then(() => {
    isDead = !abort.signal.aborted;
  });
  return () => isDead;
}

describe("LeaderContact", () => {
  it("leaves a leader alone that answers", async () => {
    const own = contact();
    const isDead = follow(own);
    await clock.advance(60_000);
    expect(isDead()).toBe(false);
    expect(own.hasHeardFrom(7n, 1_000)).toBe(true);
    expect(own.hasHeardFrom(6n, 1_000)).toBe(false);
  });

  it("knows at once that a process is gone, whose connection ends and whose host refuses", async () => {
    const isDead = follow(contact());
    await clock.advance(1_000);
    answer = "refused";
    hangUp();
    await clock.advance(100);
    expect(isDead()).toBe(true);
    expect(doubts).toEqual([true]);
  });

  it("takes 0.8 s of silence for death, and stops sending calls there before", async () => {
    const isDead = follow(contact());
    await clock.advance(1_000);
    answer = "silent";
    await clock.advance(750);
    expect([isDead(), doubts]).toEqual([false, [true]]);
    await clock.advance(500);
    expect(isDead()).toBe(true);
  });

  it("does not take a broken link for death while no other server misses the leader", async () => {
    isMissedByOthers = false;
    const isDead = follow(contact());
    answer = "silent";
    await clock.advance(10_000);
    expect(isDead()).toBe(false);
    answer = "open";
    await clock.advance(1_000);
    expect(doubts).toEqual([true, false]);
  });

  it("goes on where it was when it is asked again about a leader that was silent", async () => {
    const own = contact();
    answer = "silent";
    const first = follow(own);
    await clock.advance(1_000);
    expect(first()).toBe(true);
    const again = follow(own);
    await clock.advance(250);
    expect(again()).toBe(true);
  });

  it("knows its own past at once", async () => {
    const isDead = follow(contact(LEADER.value));
    await clock.advance(0);
    expect(isDead()).toBe(true);
  });
});
