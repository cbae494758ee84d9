import { Authority, Authority_State as State } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { planRotation, removalMs, type ServerTrust, untrustingServers } from "./rotation.js";

const TIMING = { announceMs: 5_000, retirementMs: 1_000_000 };
const START_MS = 100_000;

function authority(fingerprint: string, state: State, sinceMs = 0): Authority {
  return Authority.fromPartial({ fingerprint, state, createdAtMs: sinceMs, stateSinceMs: sinceMs });
}

function server(address: string, ...authorities: string[]): ServerTrust {
  return { address, authorities };
}

const OLD = authority("old", State.ISSUING);
const NEW = authority("new", State.ANNOUNCED, START_MS);

/** Executes plans as a leader does, whose records survive it. */
class Records {
  readonly authorities = new Map<string, Authority>();

  constructor(...authorities: readonly Authority[]) {
    for (const each of authorities) this.authorities.set(each.fingerprint, each);
  }

  step(servers: readonly ServerTrust[], nowMs: number) {
    const plan = planRotation(this.authorities.values(), servers, TIMING, nowMs);
    for (const each of plan.changed) this.authorities.set(each.fingerprint, each);
    for (const fingerprint of plan.removed) this.authorities.delete(fingerprint);
    return plan;
  }

  get states(): Readonly<Record<string, State>> {
    return Object.fromEntries([...this.authorities.values()].map((each) => [each.fingerprint, each.state]));
  }
}

describe("planRotation()", () => {
  it("does nothing while one authority issues certificates", () => {
    const plan = planRotation([OLD], [server("a", "old")], TIMING, START_MS);
    expect(plan).toEqual({ changed: [], removed: [], requeueAtMs: undefined });
  });

  it("switches the issuer when all servers trust the new authority", () => {
    const records = new Records(OLD, NEW);
    const trusting = [server("a", "old", "new"), server("b", "new", "old")];
    expect(records.step(trusting, START_MS + 5_000).changed).toMatchObject([
      { fingerprint: "new", state: State.ISSUING, stateSinceMs: START_MS + 5_000 },
      { fingerprint: "old", state: State.RETIRING, stateSinceMs: START_MS + 5_000 },
    ]);
    expect(records.states).toEqual({ old: State.RETIRING, new: State.ISSUING });
  });

  it.each([
    ["a server does not trust the new authority", [server("a", "old", "new"), server("b", "old")], 60_000],
    ["a server of an earlier release lists no authorities", [server("a", "old", "new"), server("b")], 60_000],
    ["the servers are not known yet", [], 60_000],
    ["a server that has just started may not be listed yet", [server("a", "old", "new")], 4_999],
  ])("keeps the issuer while %s", (_, servers, afterMs) => {
    const records = new Records(OLD, NEW);
    expect(records.step(servers, START_MS + afterMs)).toMatchObject({ changed: [], removed: [] });
    expect(records.states).toEqual({ old: State.ISSUING, new: State.ANNOUNCED });
  });

  it("makes the next plan when the announcement has lasted long enough", () => {
    const plan = planRotation([OLD, NEW], [server("a", "old", "new")], TIMING, START_MS + 1);
    expect(plan.requeueAtMs).toBe(START_MS + 5_000);
  });

  it("removes a retiring authority once its last certificate cannot be used any more", () => {
    const records = new Records(
      authority("old", State.RETIRING, START_MS),
      authority("new", State.ISSUING, START_MS),
    );
    const early = records.step([server("a")], START_MS + 999_999);
    expect(early).toEqual({ changed: [], removed: [], requeueAtMs: START_MS + 1_000_000 });
    expect(records.step([server("a")], START_MS + 1_000_000).removed).toEqual(["old"]);
    expect(records.states).toEqual({ new: State.ISSUING });
  });

  it("gives a second rotation during the overlap its own retirement", () => {
    const records = new Records(OLD, NEW);
    records.step([server("a", "old", "new")], START_MS + 5_000);
    records.authorities.set("newer", authority("newer", State.ANNOUNCED, START_MS + 10_000));
    records.step([server("a", "old", "new", "newer")], START_MS + 15_000);
    expect(records.states).toEqual({ old: State.RETIRING, new: State.RETIRING, newer: State.ISSUING });
    const removals = [...records.authorities.values()].map((each) => removalMs(each, TIMING));
    expect(removals).toEqual([START_MS + 1_005_000, START_MS + 1_015_000, undefined]);
    expect(records.step([server("a")], START_MS + 1_005_000)).toMatchObject({
      removed: ["old"],
      requeueAtMs: START_MS + 1_015_000,
    });
  });

  it("continues after the death of the leader in each step, and has exactly one issuer at any time", () => {
    const servers = [server("a", "old"), server("b", "old")];
    const trusting = servers.map(({ address }) => server(address, "old", "new"));
    const times: readonly (readonly [number, readonly ServerTrust[]])[] = [
      [1, servers],
      [6_000, servers],
      [7_000, [server("a", "old", "new"), server("b", "old")]],
      [8_000, trusting],
      [9_000, trusting],
      [1_008_000, trusting],
      [1_009_000, trusting],
    ];
    // A leader dies before or after it has stored a step. The next one plans with the stored records alone.
    for (let lost = 0; lost <= times.length; lost++) {
      const records = new Records(OLD, NEW);
      for (const [i, [afterMs, trust]] of times.entries()) {
        if (i === lost) {
          planRotation(records.authorities.values(), trust, TIMING, START_MS + afterMs);
        } else {
          records.step(trust, START_MS + afterMs);
        }
        const issuers = Object.values(records.states).filter((state) => state === State.ISSUING);
        expect(issuers).toHaveLength(1);
      }
      records.step(trusting, START_MS + 1_010_000);
      expect(records.states.new).toBe(State.ISSUING);
      records.step(trusting, START_MS + 2_010_000);
      expect(records.states).toEqual({ new: State.ISSUING });
    }
  });
});

it("untrustingServers() returns the addresses of the servers that lack the authority", () => {
  expect(untrustingServers(NEW, [server("a", "old"), server("b", "new"), server("c")])).toEqual(["a", "c"]);
});
