import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../packages/control-plane/src/runtime/clock.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { listAndWatch } from "../../packages/control-plane/src/store/list-watch.js";
import { readAll, readOne } from "../../packages/control-plane/src/store/read.js";
import type { Entry, Store, WatchMessage } from "../../packages/control-plane/src/store/store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventuallyPasses } from "../harness/eventually.js";

const PREFIX = "/berth/test/";
const CALL_TIMEOUT_MS = 1_000;
/** Timeout of calls that must succeed, on a busy machine too. */
const PATIENT_CALL_TIMEOUT_MS = 30_000;
/** Number of times that etcd is killed while counters are incremented. */
const KILLS = 12;

let etcd: TestEtcd;
let store: EtcdStore;
let abort: AbortController;
const signal = (): AbortSignal => abort.signal;

beforeEach(async () => {
  etcd = await startTestEtcd();
  store = new EtcdStore({ endpoints: [etcd.endpoint], callTimeoutMs: CALL_TIMEOUT_MS });
  abort = new AbortController();
  // The first call loads the client's protocol, which can exceed the call timeout on a busy machine.
  await eventuallyPasses(() => readAll(store, { prefix: "/warm-up/" }, signal()));
});
afterEach(async () => {
  abort.abort();
  store.close();
  await etcd.close();
});

async function put(key: string, value: string): Promise<bigint> {
  const outcome = await store.txn({ ops: [{ kind: "put", key: PREFIX + key, value }] }, signal());
  if (outcome.kind !== "committed") throw new Error(outcome.kind);
  return outcome.revision;
}

/** Repeats a put until it is committed. A put with an unknown outcome can be repeated because the value is the same. */
async function putThrough(key: string, value: string): Promise<void> {
  await eventuallyPasses(() => put(key, value));
}

function record(fromRevision: bigint, onlySignal = signal()): WatchMessage[] {
  const messages: WatchMessage[] = [];
  void (async () => {
    for await (const message of store.watch({ prefix: PREFIX, fromRevision }, onlySignal))
      messages.push(message);
  })();
  return messages;
}

const valuesIn = (messages: readonly WatchMessage[]): readonly string[] =>
  messages.flatMap((message) =>
    message.kind === "events"
      ? message.events.flatMap((event) => (event.kind === "put" ? [event.entry.value] : []))
      : [],
  );

describe("EtcdStore on a frozen etcd", () => {
  it("fails every call at its deadline and works again when etcd continues", async () => {
    const revision = await put("a", "1");
    const { leaseId } = await store.leases.grant(60, signal());
    etcd.freeze();
    const unavailable = { code: "BERTH_ETCD_UNAVAILABLE" };
    await Promise.all([
      expect(readOne(store, `${PREFIX}a`, signal())).rejects.toMatchObject(unavailable),
      expect(store.leases.grant(5, signal())).rejects.toMatchObject(unavailable),
      expect(store.leases.renew({ leaseId }, signal())).rejects.toMatchObject(unavailable),
      expect(store.leases.renew({ leaseId, timeoutMs: 50 }, signal())).rejects.toMatchObject(unavailable),
      expect(store.leases.revoke(leaseId, signal())).rejects.toMatchObject(unavailable),
      expect(
        store.txn({ ops: [{ kind: "put", key: `${PREFIX}b`, value: "" }] }, signal()),
      ).resolves.toMatchObject({
        kind: "unknown",
        cause: unavailable,
      }),
    ]);
    const messages = record(revision + 1n);
    await eventuallyPasses(() =>
      expect(messages).toMatchObject([{ kind: "disconnected", cause: unavailable }]),
    );
    etcd.resume();
    await putThrough("a", "2");
    expect((await readOne(store, `${PREFIX}a`, signal()))?.value).toBe("2");
  });

  it("fails a call at once when its signal aborts", async () => {
    const patient = new EtcdStore({ endpoints: [etcd.endpoint], callTimeoutMs: 60_000 });
    await readAll(patient, { prefix: PREFIX }, signal());
    etcd.freeze();
    const own = new AbortController();
    const calls = [
      readAll(patient, { prefix: PREFIX }, own.signal),
      patient.txn({ ops: [] }, own.signal),
      patient.leases.renew({ leaseId: "1" }, own.signal),
    ];
    const reason = new Error("enough");
    setTimeout(() => own.abort(reason), 50);
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes).toEqual(calls.map(() => ({ status: "rejected", reason })));
    etcd.resume();
    patient.close();
  });

  it("keeps its watches when a call times out", async () => {
    const revision = await put("a", "0");
    const messages = record(revision + 1n);
    await put("a", "1");
    await eventuallyPasses(() => expect(valuesIn(messages)).toEqual(["1"]));
    etcd.freeze();
    expect(await store.txn({ ops: [{ kind: "delete", key: `${PREFIX}none` }] }, signal())).toMatchObject({
      kind: "unknown",
    });
    etcd.resume();
    await putThrough("a", "2");
    await eventuallyPasses(() => expect(valuesIn(messages).at(-1)).toBe("2"));
    expect(messages.map((message) => message.kind)).not.toContain("disconnected");
  });
});

describe("EtcdStore.watch", () => {
  it("continues when another watch is canceled", async () => {
    const revision = await put("a", "0");
    const own = new AbortController();
    const canceled = record(revision + 1n, own.signal);
    const kept = record(revision + 1n);
    await put("a", "1");
    await eventuallyPasses(() => expect([valuesIn(canceled), valuesIn(kept)]).toEqual([["1"], ["1"]]));
    own.abort();
    // Time for the cancellation to reach etcd. Any time is correct.
    await delay(50);
    await put("a", "2");
    await eventuallyPasses(() => expect(valuesIn(kept)).toEqual(["1", "2"]));
    expect(kept.every((message) => message.kind === "events")).toBe(true);
    expect(valuesIn(canceled)).toEqual(["1"]);
  });

  it("delivers every event in order when it is resumed from nextRevision after etcd restarts", async () => {
    let next = (await put("n", "-1")) + 1n;
    const seen: string[] = [];
    void (async () => {
      while (!signal().aborted) {
        for await (const message of store.watch({ prefix: PREFIX, fromRevision: next }, signal())) {
          if (message.kind === "compacted") throw new Error("compacted");
          next = message.nextRevision;
          seen.push(...valuesIn([message]));
        }
        await delay(20);
      }
    })();
    const write = async (from: number): Promise<void> => {
      for (let i = from; i < from + 40; i++) await putThrough("n", String(i));
    };
    await write(0);
    await etcd.kill();
    const writing = write(40);
    // Time for writes to fail while etcd is down. Any time is correct.
    await delay(300);
    await etcd.restart();
    await writing;
    await eventuallyPasses(() => expect(seen.at(-1)).toBe("79"));
    // A put with an unknown outcome was repeated, so the history may contain a value twice.
    expect([...new Set(seen)]).toEqual(Array.from({ length: 80 }, (_, i) => String(i)));
    expect([...seen].sort((a, b) => Number(a) - Number(b))).toEqual(seen);
  });
});

describe("listAndWatch", () => {
  it("converges to the stored records and reports an unreachable etcd after kill -9, restart and compaction", async () => {
    const known = new Map<string, Entry>();
    const kinds: string[] = [];
    void (async () => {
      const options = { store, span: { prefix: PREFIX }, clock: systemClock };
      for await (const message of listAndWatch(options, signal())) {
        kinds.push(message.kind);
        if (message.kind === "snapshot") known.clear();
        if (message.kind === "snapshot") for (const entry of message.entries) known.set(entry.key, entry);
        if (message.kind !== "events") continue;
        for (const event of message.events) {
          if (event.kind === "put") known.set(event.key, event.entry);
          else known.delete(event.key);
        }
      }
    })();
    await put("stays", "1");
    await put("goes", "1");
    await eventuallyPasses(() => expect(known.size).toBe(2));

    await etcd.kill();
    await eventuallyPasses(() => expect(kinds.at(-1)).toBe("unreachable"));
    await etcd.restart();
    await putThrough("new", "1");
    await store.txn({ ops: [{ kind: "delete", key: `${PREFIX}goes` }] }, signal());
    await etcd.compact(await put("new", "2"));

    const truth = await readAll(store, { prefix: PREFIX }, signal());
    const wanted = new Map(truth.entries.map((entry) => [entry.key, entry]));
    await eventuallyPasses(() => expect(known).toEqual(wanted));
    expect(kinds.filter((kind) => kind === "unreachable")).toHaveLength(1);
  });
});

describe("EtcdStore.txn", () => {
  it("loses and repeats no increment when unknown outcomes are read back while etcd is killed", async () => {
    const key = `${PREFIX}counter`;
    await put("counter", "0:none");
    let done = false;
    const faults = (async () => {
      for (let kill = 0; kill < KILLS && !done; kill += 1) {
        await delay(150);
        await etcd.kill();
        await etcd.restart();
      }
    })();
    const increments = await Promise.all([1, 2, 3].map((writer) => countTo(40, key, `w${writer}`)));
    done = true;
    await faults;
    expect((await readThrough(store, key))?.value).toMatch(/^120:/);
    expect(increments.flat()).toHaveLength(120);
  });

  /** Increments the counter `count` times. Each write stores an ID, which shows later whether it was committed. */
  async function countTo(count: number, key: string, writer: string): Promise<readonly string[]> {
    const written: string[] = [];
    while (written.length < count) {
      const before = await readThrough(store, key);
      if (before === undefined) throw new Error("the counter is gone");
      const id = `${writer}-${written.length}`;
      const value = `${Number.parseInt(before.value, 10) + 1}:${id}`;
      const outcome = await store.txn(
        {
          compare: [{ kind: "modified-at", key, revision: before.modRevision }],
          ops: [
            { kind: "put", key, value },
            { kind: "put", key: `${PREFIX}ids/${id}`, value: "" },
          ],
        },
        signal(),
      );
      // Also read after a refusal: an earlier write with an unknown outcome may have been committed since.
      const committed =
        outcome.kind === "committed" || (await readThrough(store, `${PREFIX}ids/${id}`)) !== undefined;
      if (committed) written.push(id);
    }
    return written;
  }
});

describe("EtcdStore with several endpoints", () => {
  it("uses the next endpoint when one is down", async () => {
    const other = await startTestEtcd();
    await other.kill();
    const both = new EtcdStore({
      endpoints: [other.endpoint, etcd.endpoint],
      callTimeoutMs: CALL_TIMEOUT_MS,
    });
    try {
      await put("a", "1");
      expect((await readOne(both, `${PREFIX}a`, signal()))?.value).toBe("1");
      expect(await both.txn({ ops: [] }, signal())).toMatchObject({ kind: "committed" });
    } finally {
      both.close();
      await other.close();
    }
  });
});

describe("EtcdStore whose first endpoint is its own member", () => {
  it("returns to its own member when that answers again", async () => {
    // Two separate etcds, so that a value shows which of them answered.
    const own = await startTestEtcd();
    const both = new EtcdStore({ endpoints: [own.endpoint, etcd.endpoint], callTimeoutMs: CALL_TIMEOUT_MS });
    const read = async (): Promise<string | undefined> =>
      (await readOne(both, `${PREFIX}a`, signal()))?.value;
    try {
      await eventuallyPasses(async () => {
        const op = { kind: "put", key: `${PREFIX}a`, value: "own" } as const;
        expect(await both.txn({ ops: [op] }, signal())).toMatchObject({ kind: "committed" });
      });
      await put("a", "other");
      expect(await read()).toBe("own");
      await own.kill();
      expect(await read()).toBe("other");
      await own.restart();
      await eventuallyPasses(async () => expect(await read()).toBe("own"));
    } finally {
      both.close();
      await own.close();
    }
  });
});

describe("readAll", () => {
  it("reads more than gRPC's default message size, in one page or in several", async () => {
    const patient = new EtcdStore({ endpoints: [etcd.endpoint], callTimeoutMs: PATIENT_CALL_TIMEOUT_MS });
    onTestFinished(() => patient.close());
    const value = "x".repeat(1_000);
    for (let i = 0; i < 100; i++) {
      const ops = Array.from(
        { length: 100 },
        (_, j) => ({ kind: "put", key: `${PREFIX}${i}/${j}`, value }) as const,
      );
      expect(await patient.txn({ ops }, signal())).toMatchObject({ kind: "committed" });
    }
    const { entries } = await readAll(patient, { prefix: PREFIX }, signal());
    expect(entries).toHaveLength(10_000);
    const pages = [];
    for await (const page of patient.range({ prefix: PREFIX, pageSize: 20_000 }, signal())) pages.push(page);
    expect(pages).toMatchObject([{ kind: "page", entries }]);
  });
});

/** Reads until etcd answers. */
async function readThrough(from: Store, key: string): Promise<Entry | undefined> {
  return eventuallyPasses(() => readOne(from, key, signal()));
}
