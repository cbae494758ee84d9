import { BerthError } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { onAbort } from "../runtime/abort.js";
import { ManualClock } from "../testing/manual-clock.js";
import { MemoryStore } from "../testing/memory-store/memory-store.js";
import { campaign, fence, type LeaderRecord, type Term, watchLeader } from "./election.js";
import type { Leases, Store, TxnOutcome } from "./store.js";

const KEY = "/berth/v1/leader";
const TTL_SECONDS = 3;
const NO_ANSWER = new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "no answer" });

let clock: ManualClock;
let store: MemoryStore;
let abort: AbortController;

beforeEach(() => {
  clock = new ManualClock();
  store = new MemoryStore({ clock });
  abort = new AbortController();
});
afterEach(async () => {
  abort.abort();
  await clock.advance(0);
  store.close();
});

/** Campaigns and holds each term until it is lost. */
function runCandidate(
  value: string,
  through: Store = store,
  isKnownDead: (leader: LeaderRecord) => boolean = () => false,
): { terms: Term[]; current(): Term | undefined; leave(): void } {
  const terms: Term[] = [];
  const own = new AbortController();
  const untilDead = async (leader: LeaderRecord, signal: AbortSignal): Promise<void> => {
    if (!isKnownDead(leader)) await new Promise((resolve) => onAbort(signal, () => resolve(undefined)));
  };
  abort.signal.addEventListener("abort", () => own.abort());
  const options = { store: through, clock, key: KEY, value, ttlSeconds: TTL_SECONDS, untilDead };
  void (async () => {
    for await (const term of campaign(options, own.signal)) {
      terms.push(term);
      await new Promise((resolve) => term.lost.addEventListener("abort", resolve, { once: true }));
    }
  })();
  return { terms, current: () => terms.findLast((term) => term.isHeld()), leave: () => own.abort() };
}

function committed(outcome: TxnOutcome): { readonly revision: bigint } {
  if (outcome.kind !== "committed") throw new Error(`not committed: ${outcome.kind}`);
  return outcome;
}

async function canWrite(term: Pick<Term, "key" | "epoch">): Promise<boolean> {
  const outcome = await store.txn(
    { compare: [fence(term)], ops: [{ kind: "put", key: "/berth/v1/x", value: "" }] },
    abort.signal,
  );
  return outcome.kind === "committed";
}

/** The store as seen from a server whose lease calls do not get through. */
function cutOff(from: MemoryStore): Store {
  const silent = (): Promise<never> => Promise.reject(NO_ANSWER);
  const leases: Leases = { grant: from.leases.grant.bind(from.leases), renew: silent, revoke: silent };
  return { range: from.range.bind(from), txn: from.txn.bind(from), watch: from.watch.bind(from), leases };
}

describe("campaign", () => {
  it("elects exactly one of several candidates and keeps it while it is alive", async () => {
    const candidates = ["a", "b", "c"].map((value) => runCandidate(value));
    await clock.advance(60_000);
    expect(candidates.flatMap(({ terms }) => terms)).toHaveLength(1);
    expect(candidates.filter((each) => each.current())).toHaveLength(1);
  });

  it("elects the next leader at once when the leader's signal aborts", async () => {
    const first = runCandidate("a");
    await clock.advance(10);
    const second = runCandidate("b");
    await clock.advance(10);
    first.leave();
    await clock.advance(1);
    expect(first.terms[0]?.isHeld()).toBe(false);
    expect(second.current()?.epoch).toBeGreaterThan(first.terms[0]?.epoch ?? 0n);
  });

  it("deletes the key of a dead leader before its lease expires, and refuses its writes", async () => {
    const { leaseId } = await store.leases.grant(TTL_SECONDS, abort.signal);
    const put = { kind: "put", key: KEY, value: "dead", leaseId } as const;
    const { revision: epoch } = committed(await store.txn({ ops: [put] }, abort.signal));
    const successor = runCandidate("b", store, ({ value }) => value === "dead");
    await clock.advance(10);
    expect(successor.current()?.epoch).toBeGreaterThan(epoch);
    expect(await canWrite({ key: KEY, epoch })).toBe(false);
  });

  it("deletes a dead leader's key as soon as the store answers again", async () => {
    const { leaseId } = await store.leases.grant(TTL_SECONDS, abort.signal);
    const put = { kind: "put", key: KEY, value: "dead", leaseId } as const;
    await store.txn({ ops: [put] }, abort.signal);
    let isAnswering = false;
    const electing: Store = {
      range: store.range.bind(store),
      watch: store.watch.bind(store),
      leases: store.leases,
      txn: async (request, signal) =>
        isAnswering ? store.txn(request, signal) : { kind: "unknown", cause: NO_ANSWER },
    };
    const successor = runCandidate("b", electing, ({ value }) => value === "dead");
    await clock.advance(500);
    expect(successor.terms).toHaveLength(0);
    isAnswering = true;
    await clock.advance(100);
    expect(successor.current()).toBeDefined();
  });

  it("ends a term that cannot be renewed before another can be elected", async () => {
    const first = runCandidate("a", cutOff(store));
    await clock.advance(10);
    const second = runCandidate("b");
    let lostAtMs = 0;
    first.terms[0]?.lost.addEventListener("abort", () => {
      lostAtMs = clock.nowMs();
    });
    await clock.advance(2_900);
    expect(lostAtMs).toBeGreaterThan(0);
    expect(second.terms).toHaveLength(0);
    await clock.advance(1_000);
    expect(second.current()).toBeDefined();
  });

  it("does not trust a term after the process was suspended for longer than the lease", async () => {
    const first = runCandidate("a");
    await clock.advance(10);
    clock.jump(TTL_SECONDS * 1_000);
    expect(first.terms[0]?.lost.aborted).toBe(false);
    expect(first.terms[0]?.isHeld()).toBe(false);
    await clock.advance(0);
    expect(first.terms[0]?.lost.aborted).toBe(true);
  });

  it("ends the term of a leader whose key was deleted, and refuses its writes", async () => {
    const first = runCandidate("a");
    await clock.advance(10);
    const [term] = first.terms;
    if (term === undefined) throw new Error("not elected");
    expect(await canWrite(term)).toBe(true);
    await store.txn({ compare: [fence(term)], ops: [{ kind: "delete", key: KEY }] }, abort.signal);
    await clock.advance(0);
    expect(term.lost.aborted).toBe(true);
    expect(await canWrite(term)).toBe(false);
  });

  it("recognizes its own key when the outcome of claiming it was unknown", async () => {
    const forgetful: Store = {
      range: store.range.bind(store),
      watch: store.watch.bind(store),
      leases: store.leases,
      txn: async (request, signal) => {
        const outcome = await store.txn(request, signal);
        return outcome.kind === "committed" ? { kind: "unknown", cause: NO_ANSWER } : outcome;
      },
    };
    const candidate = runCandidate("a", forgetful);
    await clock.advance(10);
    const term = candidate.current();
    expect(term && (await canWrite(term))).toBe(true);
  });
});

describe("observeLeader", () => {
  it("yields the current leader and each change", async () => {
    const seen: (LeaderRecord | undefined)[] = [];
    void (async () => {
      for await (const leader of watchLeader({ store, key: KEY, clock }, abort.signal)) seen.push(leader);
    })();
    await clock.advance(10);
    const first = runCandidate("a");
    await clock.advance(10);
    runCandidate("b");
    await clock.advance(10);
    first.leave();
    await clock.advance(10);
    expect(seen.map((leader) => leader?.value)).toEqual([undefined, "a", undefined, "b"]);
  });
});
