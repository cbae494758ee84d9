import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { LeaderContact } from "./leader-contact.js";
import type { TcpProbeResult } from "./probe-tcp.js";

const LEADER = { value: JSON.stringify({ address: "10.0.0.1:7400", host: "h1" }), epoch: 7n };

let clock: ManualClock;
let abort: AbortController;
let suspicions: boolean[];
/** Result of the next probes of the leader. */
let probeResult: TcpProbeResult["kind"];
/** Ends the open connection. */
let hangUp: () => void;
let havePeersLostLeader: boolean;

beforeEach(() => {
  clock = new ManualClock();
  abort = new AbortController();
  suspicions = [];
  probeResult = "open";
  hangUp = () => {};
  havePeersLostLeader = true;
});
afterEach(() => abort.abort());

function createContact(): LeaderContact {
  return new LeaderContact({
    clock,
    logger: pino({ level: "silent" }),
    probeTcp: async (_address, timeoutMs) => {
      if (probeResult === "timeout") {
        await new Promise<void>((resolve) => void clock.after(timeoutMs, resolve));
      }
      if (probeResult !== "open") return { kind: probeResult };
      const closed = new Promise<void>((resolve) => {
        hangUp = resolve;
      });
      return { kind: "open", closed, close: () => {} };
    },
    havePeersLostLeader: async () => havePeersLostLeader,
    onSuspicion: (isSuspect) => suspicions.push(isSuspect),
  });
}

/** Starts to watch the leader. The returned function tells whether it was found dead. */
function watchLeader(contact: LeaderContact): () => boolean {
  let isDead = false;
  void contact.untilDead(LEADER, abort.signal).then(() => {
    isDead = !abort.signal.aborted;
  });
  return () => isDead;
}

describe("LeaderContact", () => {
  it("stays in contact with a leader that answers", async () => {
    const contact = createContact();
    const isDead = watchLeader(contact);
    await clock.advance(60_000);
    expect(isDead()).toBe(false);
    expect(contact.isInContact(7n)).toBe(true);
    expect(contact.isInContact(6n)).toBe(false);
  });

  it("detects a killed process within 100 ms by the closed connection and two refusals", async () => {
    const isDead = watchLeader(createContact());
    await clock.advance(1_000);
    probeResult = "refused";
    hangUp();
    await clock.advance(100);
    expect(isDead()).toBe(true);
    expect(suspicions).toEqual([true]);
  });

  it("suspects a leader that does not answer, and declares it dead after 0.8 s", async () => {
    const isDead = watchLeader(createContact());
    await clock.advance(1_000);
    probeResult = "timeout";
    await clock.advance(750);
    expect([isDead(), suspicions]).toEqual([false, [true]]);
    await clock.advance(500);
    expect(isDead()).toBe(true);
  });

  it("does not declare a leader dead while a peer is in contact with it", async () => {
    havePeersLostLeader = false;
    const isDead = watchLeader(createContact());
    probeResult = "timeout";
    await clock.advance(10_000);
    expect(isDead()).toBe(false);
    probeResult = "open";
    await clock.advance(1_000);
    expect(suspicions).toEqual([true, false]);
  });

  it("remembers earlier timeouts when it watches the same leader again", async () => {
    const contact = createContact();
    probeResult = "timeout";
    const first = watchLeader(contact);
    await clock.advance(1_000);
    expect(first()).toBe(true);
    const again = watchLeader(contact);
    await clock.advance(250);
    expect(again()).toBe(true);
  });
});
