import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../packages/control-plane/src/runtime/clock.js";
import { type LeaderRecord, watchLeader } from "../../packages/control-plane/src/store/election.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { LEADER_KEY } from "../../packages/control-plane/src/store/keys.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventuallyPasses } from "../harness/eventually.js";

const WRITE_KEY = "/berth/v1/written";
const LEASE_SECONDS = 2;
/** Time for a deposed leader to try to write. Any time is correct. */
const WRITE_ATTEMPTS_MS = 300;

/** A time at which a candidate considered itself leader. All processes of the machine use the same clock. */
interface LeaderSample {
  readonly name: string;
  readonly epoch: string;
  readonly atMs: number;
}

let etcd: TestEtcd;
let store: EtcdStore;
let abort: AbortController;
let candidates: Map<string, ChildProcess>;
let held: LeaderSample[];
let leader: LeaderRecord | undefined;

beforeEach(async () => {
  etcd = await startTestEtcd();
  store = new EtcdStore({ endpoints: [etcd.endpoint] });
  abort = new AbortController();
  candidates = new Map();
  held = [];
  void (async () => {
    for await (const each of watchLeader({ store, key: LEADER_KEY, clock: systemClock }, abort.signal))
      leader = each;
  })();
});
afterEach(async () => {
  for (const child of candidates.values()) child.kill("SIGKILL");
  abort.abort();
  store.close();
  await etcd.close();
});

function launch(name: string, ttlSeconds: number): void {
  const program = fileURLToPath(new URL("../harness/election-candidate.mjs", import.meta.url));
  const child = spawn(process.execPath, [program, etcd.endpoint, name, String(ttlSeconds)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  createInterface({ input: child.stdout }).on("line", (line) => held.push(JSON.parse(line)));
  candidates.set(name, child);
}

/** Waits until a candidate with a later epoch leads and has written. */
async function nextLeader(after = 0n): Promise<LeaderRecord> {
  return eventuallyPasses(async () => {
    if (leader === undefined || leader.epoch <= after) throw new Error("no new leader");
    const { epoch } = leader;
    if (!held.some((each) => each.epoch === String(epoch))) throw new Error("the new leader has not written");
    return leader;
  });
}

/** Returns the time by the clock of the samples. */
function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

const signalTo = (name: string, what: NodeJS.Signals): void => {
  candidates.get(name)?.kill(what);
};

/** Returns the epochs of all writes in the order of commits. */
async function writtenEpochs(): Promise<readonly bigint[]> {
  const epochs: bigint[] = [];
  const newest = await store.txn(
    { ops: [{ kind: "put", key: `${WRITE_KEY}/end`, value: "" }] },
    abort.signal,
  );
  if (newest.kind !== "committed") throw new Error(newest.kind);
  for await (const message of store.watch({ prefix: WRITE_KEY, fromRevision: 1n }, abort.signal)) {
    if (message.kind !== "events") throw new Error(message.kind);
    for (const event of message.events) {
      if (event.kind === "put" && event.key === WRITE_KEY) epochs.push(BigInt(event.entry.value));
    }
    if (message.nextRevision > newest.revision) return epochs;
  }
  return epochs;
}

describe("campaign on a real etcd", () => {
  it("never has two leaders at once or interleaved writes while leaders and etcd are killed or frozen", async () => {
    for (const name of ["a", "b", "c"]) launch(name, LEASE_SECONDS);
    let current = await nextLeader();

    // The leader hangs for longer than its lease, and considers itself leader when it continues.
    signalTo(current.value, "SIGSTOP");
    const frozen = current.value;
    current = await nextLeader(current.epoch);
    expect(current.value).not.toBe(frozen);
    signalTo(frozen, "SIGCONT");
    await delay(WRITE_ATTEMPTS_MS);

    // etcd is down for a moment: the lease outlives it.
    await etcd.kill();
    await etcd.restart();

    // etcd hangs for longer than the lease: every term ends by then, and none begins.
    etcd.freeze();
    const endedMs = nowMs() + (LEASE_SECONDS + 1) * 1_000;
    const resumedMs = endedMs + 1_000;
    await delay(resumedMs - nowMs());
    etcd.resume();
    await eventuallyPasses(() => expect(held.at(-1)?.atMs).toBeGreaterThan(resumedMs));
    expect(held.filter(({ atMs }) => atMs > endedMs && atMs < resumedMs)).toEqual([]);
    current = await nextLeader(current.epoch - 1n);

    // The leader is killed.
    signalTo(current.value, "SIGKILL");
    current = await nextLeader(current.epoch);
    await delay(WRITE_ATTEMPTS_MS);

    const epochs = await writtenEpochs();
    expect(new Set(epochs).size).toBeGreaterThanOrEqual(3);
    expect([...epochs].sort((a, b) => Number(a - b))).toEqual(epochs);
    expect(overlaps(held)).toEqual([]);
  });

  it("elects another leader at once after SIGTERM or the removal of the leader key", async () => {
    const leaseSeconds = 600;
    for (const name of ["a", "b", "c"]) launch(name, leaseSeconds);
    const first = await nextLeader();
    const child = candidates.get(first.value);
    signalTo(first.value, "SIGTERM");
    const second = await nextLeader(first.epoch);
    expect(second.value).not.toBe(first.value);
    if (child?.exitCode === null) await once(child, "exit");
    expect(child?.exitCode).toBe(0);

    await store.txn(
      {
        compare: [{ kind: "created-at", key: LEADER_KEY, revision: second.epoch }],
        ops: [{ kind: "delete", key: LEADER_KEY }],
      },
      abort.signal,
    );
    const third = await nextLeader(second.epoch);
    expect(third.epoch).toBeGreaterThan(second.epoch);
  });
});

/** Returns the pairs of consecutive terms that overlap in time. */
function overlaps(samples: readonly LeaderSample[]): readonly string[] {
  const spans = new Map<string, { from: number; to: number }>();
  for (const { epoch, atMs } of samples) {
    const span = spans.get(epoch);
    spans.set(epoch, { from: Math.min(span?.from ?? atMs, atMs), to: Math.max(span?.to ?? atMs, atMs) });
  }
  const inOrder = [...spans].sort(([a], [b]) => Number(BigInt(a) - BigInt(b)));
  return inOrder.flatMap(([epoch, { from }], i) => {
    const before = inOrder[i - 1];
    return before !== undefined && before[1].to >= from ? [`${before[0]} and ${epoch}`] : [];
  });
}
