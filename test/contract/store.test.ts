import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { IdentityDirectory } from "@berth/proto/identity";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../packages/control-plane/src/runtime/clock.js";
import { startEmbeddedEtcd } from "../../packages/control-plane/src/store/embedded/embedded-etcd.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { readAll, readOne } from "../../packages/control-plane/src/store/read.js";
import type { Op, Store, TxnOutcome, WatchMessage } from "../../packages/control-plane/src/store/store.js";
import { EtcdAuthority } from "../../packages/control-plane/src/testing/etcd-authority.js";
import { MemoryStore } from "../../packages/control-plane/src/testing/memory-store/memory-store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { etcdctl } from "../harness/etcdctl.js";

interface Subject {
  readonly store: Store;
  compact(revision: bigint): Promise<void>;
  close(): void;
}

let etcd: TestEtcd;
let etcdWithTls: { openStore(): Subject; close(): Promise<void> };
beforeAll(async () => {
  etcd = await startTestEtcd();
  etcdWithTls = await startEtcdWithTls();
});
afterAll(async () => {
  await etcd.close();
  await etcdWithTls.close();
});

async function startEtcdWithTls(): Promise<typeof etcdWithTls> {
  const directory = mkdtempSync(join(tmpdir(), "berth-contract-"));
  const identity = await IdentityDirectory.open(join(directory, "identity"));
  const tls = await (await EtcdAuthority.create()).issueTo(identity, { id: "s1" });
  const logger = pino({ level: "silent" });
  const embedded = await startEmbeddedEtcd(
    { dataDir: join(directory, "data"), tls: identity.paths, logger },
    new AbortController().signal,
  );
  const { endpoint } = embedded;
  const compact = async (revision: bigint): Promise<void> => {
    etcdctl({ endpoint, tls: identity.paths }, "compact", String(revision), "--physical");
  };
  return {
    openStore: () => {
      const store = new EtcdStore({ endpoints: [endpoint], tls });
      return { store, compact, close: () => store.close() };
    },
    close: async () => {
      await embedded.stop();
      rmSync(directory, { recursive: true });
    },
  };
}

const subjects: Record<string, () => Subject> = {
  MemoryStore: () => {
    const store = new MemoryStore({ clock: systemClock });
    return { store, compact: async (revision) => store.compact(revision), close: () => store.close() };
  },
  EtcdStore: () => {
    const store = new EtcdStore({ endpoints: [etcd.endpoint] });
    return { store, compact: etcd.compact, close: () => store.close() };
  },
  "EtcdStore with TLS": () => etcdWithTls.openStore(),
};

let runs = 0;

describe.each(Object.entries(subjects))("%s", (_name, open) => {
  let subject: Subject;
  let store: Store;
  let root: string;
  let abort: AbortController;
  const signal = (): AbortSignal => abort.signal;

  beforeEach(() => {
    subject = open();
    store = subject.store;
    abort = new AbortController();
    root = `/berth/test/${process.pid}-${runs++}/`;
  });
  afterEach(() => {
    abort.abort();
    subject.close();
  });

  const put = (key: string, value: string): Op => ({ kind: "put", key: root + key, value });
  const commit = async (...ops: readonly Op[]): Promise<bigint> => {
    const outcome = await store.txn({ ops }, signal());
    expect(outcome.kind).toBe("committed");
    return outcome.kind === "committed" ? outcome.revision : 0n;
  };
  const keysNow = async (): Promise<readonly string[]> =>
    (await readAll(store, { prefix: root }, signal())).entries.map((entry) => entry.key.slice(root.length));

  it("range returns entries in key order with their revisions", async () => {
    const first = await commit(put("b", "1"), put("a", "2"));
    const second = await commit(put("b", "3"));
    const listing = await readAll(store, { prefix: root }, signal());
    expect(listing.revision).toBe(second);
    expect(listing.entries).toEqual([
      { key: `${root}a`, value: "2", createRevision: first, modRevision: first },
      { key: `${root}b`, value: "3", createRevision: first, modRevision: second },
    ]);
  });

  it("range of one key excludes keys that it is a prefix of", async () => {
    await commit(put("node", "1"), put("nodes", "2"));
    expect(
      (await readAll(store, { key: `${root}node` }, signal())).entries.map((entry) => entry.value),
    ).toEqual(["1"]);
    expect(await readOne(store, `${root}absent`, signal())).toBeUndefined();
  });

  it("range without entries returns the revision", async () => {
    const revision = await commit(put("x", ""));
    expect(await readAll(store, { prefix: `${root}none/` }, signal())).toEqual({ entries: [], revision });
  });

  it("range reads all pages at one revision during concurrent writes", async () => {
    await commit(...numbered(20).map((key) => put(key, "old")));
    const seen: string[] = [];
    let pages = 0;
    for await (const page of store.range({ prefix: root, pageSize: 6 }, signal())) {
      if (page.kind === "compacted") throw new Error("compacted");
      pages++;
      seen.push(...page.entries.map((entry) => entry.value));
      await commit(...numbered(20).map((key) => put(key, "new")), put(`between-${pages}`, "new"));
      await commit({ kind: "delete", key: `${root}${numbered(20)[19]}` });
    }
    expect(pages).toBe(4);
    expect(seen).toEqual(Array.from({ length: 20 }, () => "old"));
  });

  it("range at an old revision returns the old state", async () => {
    const before = await commit(put("a", "1"));
    await commit(put("a", "2"));
    await commit({ kind: "delete", key: `${root}a` });
    for await (const page of store.range({ prefix: root, revision: before }, signal())) {
      expect(page).toMatchObject({ kind: "page", revision: before, entries: [{ value: "1" }] });
    }
    expect(await keysNow()).toEqual([]);
  });

  it("readAll restarts when a range at a compacted revision fails", async () => {
    const before = await commit(put("a", "1"));
    const now = await commit(put("a", "2"));
    await subject.compact(now);
    const pages = await collect(store.range({ prefix: root, revision: before }, signal()));
    expect(pages).toEqual([{ kind: "compacted" }]);
    expect((await readAll(store, { prefix: root }, signal())).entries).toMatchObject([{ value: "2" }]);
  });

  it("txn commits if all comparisons succeed and runs the otherwise ops if not", async () => {
    const key = `${root}guarded`;
    const created = await commit(put("guarded", "1"));
    const modified = await commit(put("guarded", "2"));
    const attempt = (...compare: NonNullable<Parameters<Store["txn"]>[0]["compare"]>): Promise<TxnOutcome> =>
      store.txn({ compare, ops: [put("written", "x")], otherwise: [{ kind: "get", key }] }, signal());

    const refusals = await Promise.all([
      attempt({ kind: "absent", key }),
      attempt({ kind: "created-at", key, revision: modified }),
      attempt({ kind: "modified-at", key, revision: created }),
      attempt(
        { kind: "created-at", key, revision: created },
        { kind: "modified-at", key, revision: created },
      ),
    ]);
    for (const refusal of refusals)
      expect(refusal).toMatchObject({ kind: "refused", found: [{ key, value: "2" }] });
    expect(await keysNow()).toEqual(["guarded"]);

    const accepted = await attempt(
      { kind: "absent", key: `${root}absent` },
      { kind: "created-at", key, revision: created },
      { kind: "modified-at", key, revision: modified },
    );
    expect(accepted.kind).toBe("committed");
    expect(await keysNow()).toEqual(["guarded", "written"]);
  });

  it("txn writes all ops in one revision and returns a result for each", async () => {
    await commit(put("gone", ""), put("old", "1"));
    const outcome = await store.txn(
      {
        ops: [
          { kind: "get", key: `${root}old` },
          put("old", "2"),
          { kind: "get", key: `${root}old` },
          { kind: "delete", key: `${root}gone` },
          { kind: "delete", key: `${root}never` },
        ],
      },
      signal(),
    );
    expect(outcome).toMatchObject({
      kind: "committed",
      results: [
        { kind: "get", entry: { value: "1" } },
        { kind: "put" },
        { kind: "get", entry: { value: "2" } },
        { kind: "deleted", count: 1 },
        { kind: "deleted", count: 0 },
      ],
    });
    expect(await keysNow()).toEqual(["old"]);
  });

  it("txn without writes creates no revision", async () => {
    const revision = await commit(put("a", "1"));
    expect(await commit({ kind: "delete", key: `${root}absent` })).toBe(revision);
    expect(await commit()).toBe(revision);
  });

  it("txn of concurrent writers on one counter loses no increment", async () => {
    const key = `${root}counter`;
    await commit(put("counter", "0"));
    const increment = async (): Promise<void> => {
      for (;;) {
        const entry = await readOne(store, key, signal());
        if (entry === undefined) throw new Error("no counter");
        const compare = [{ kind: "modified-at", key, revision: entry.modRevision }] as const;
        const outcome = await store.txn(
          { compare, ops: [put("counter", `${Number(entry.value) + 1}`)] },
          signal(),
        );
        if (outcome.kind === "committed") return;
      }
    };
    await Promise.all(Array.from({ length: 12 }, increment));
    expect((await readOne(store, key, signal()))?.value).toBe("12");
  });

  it("txn rejects more than 100 ops, too many bytes, duplicate keys and non-ASCII keys", async () => {
    await commit(...numbered(100).map((key) => put(key, "")));
    const refused = async (ops: readonly Op[], code: string): Promise<void> => {
      await expect(store.txn({ ops }, signal())).rejects.toMatchObject({ code });
    };
    await refused(
      numbered(101).map((key) => put(key, "")),
      "BERTH_STORE_LIMIT",
    );
    await refused([put("a", "x".repeat(800_000)), put("b", "x".repeat(800_000))], "BERTH_STORE_LIMIT");
    await refused([put("a", "1"), put("a", "2")], "BERTH_INTERNAL");
    await refused([put("a", "1"), { kind: "delete", key: `${root}a` }], "BERTH_INTERNAL");
    await refused([put("ä", "1")], "BERTH_INTERNAL");
    await refused([{ kind: "delete", key: "" }], "BERTH_INTERNAL");
  });

  it("values keep all characters and up to a megabyte", async () => {
    const strange = '{"name":"żółć 🚢 \u0000 \\ \u2028"}';
    const large = "ü".repeat(512 * 1024);
    await commit(put("strange", strange));
    await commit(put("large", large));
    expect((await readOne(store, `${root}strange`, signal()))?.value).toBe(strange);
    expect((await readOne(store, `${root}large`, signal()))?.value === large).toBe(true);
  });

  it("watch delivers every event once and in order, from the requested revision", async () => {
    const before = await commit(put("early", "0"));
    for (let i = 0; i < 50; i++) await commit(put("counter", String(i)), put(`k${i % 3}`, String(i)));
    await commit(...[0, 1, 2].map((i) => ({ kind: "delete" as const, key: `${root}k${i}` })));
    const events = await eventsUntil(store.watch({ prefix: root, fromRevision: before + 1n }, signal()), 103);
    const counted = events.flatMap((event) =>
      event.kind === "put" && event.key.endsWith("counter") ? [event.entry.value] : [],
    );
    expect(counted).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
    expect(events.slice(-3).map((event) => event.kind)).toEqual(["delete", "delete", "delete"]);
    const revisions = events.map((event) => event.modRevision);
    expect(revisions).toEqual([...revisions].sort((a, b) => Number(a - b)));
  });

  it("watch delivers concurrent writes of its keys only", async () => {
    const revision = await commit(put("a", "0"));
    const events = eventsUntil(store.watch({ key: `${root}a`, fromRevision: revision + 1n }, signal()), 2);
    await delay(50);
    await commit(put("ab", "1"));
    await commit(put("a", "2"));
    await commit({ kind: "delete", key: `${root}a` });
    expect(await events).toMatchObject([
      { kind: "put", entry: { value: "2", createRevision: revision } },
      { kind: "delete", key: `${root}a` },
    ]);
  });

  it("watch delivers whole transactions and resumes from nextRevision without loss or repetition", async () => {
    const start = await commit(put("start", ""));
    for (let i = 0; i < 30; i++) await commit(put("x", String(i)), put("y", String(i)));
    const values: string[] = [];
    let next = start + 1n;
    while (values.length < 60) {
      for await (const message of store.watch({ prefix: root, fromRevision: next }, signal())) {
        if (message.kind !== "events") throw new Error(message.kind);
        values.push(...message.events.flatMap((event) => (event.kind === "put" ? [event.entry.value] : [])));
        next = message.nextRevision;
        break;
      }
    }
    expect(values).toEqual(Array.from({ length: 60 }, (_, i) => String(Math.floor(i / 2))));
    expect(next).toBe(start + 31n);
  });

  it("watch from a compacted revision reports the compaction and ends", async () => {
    const before = await commit(put("a", "1"));
    await commit(put("a", "2"));
    const now = await commit(put("a", "3"));
    await subject.compact(now);
    const messages = await collect(store.watch({ prefix: root, fromRevision: before }, signal()));
    expect(messages).toEqual([{ kind: "compacted", at: now }]);
  });

  it("watch ends without an error when aborted before or during the stream", async () => {
    const revision = await commit(put("a", "1"));
    const running = collect(store.watch({ prefix: root, fromRevision: revision + 1n }, signal()));
    await delay(50);
    abort.abort();
    expect(await running).toEqual([]);
    expect(await collect(store.watch({ prefix: root, fromRevision: revision + 1n }, signal()))).toEqual([]);
  });

  it("calls with an aborted signal throw its reason without any effect", async () => {
    const reason = new Error("enough");
    const aborted = AbortSignal.abort(reason);
    await expect(store.txn({ ops: [put("a", "1")] }, aborted)).rejects.toBe(reason);
    await expect(readAll(store, { prefix: root }, aborted)).rejects.toBe(reason);
    await expect(store.leases.grant(5, aborted)).rejects.toBe(reason);
    expect(await keysNow()).toEqual([]);
  });

  it("a lease deletes its keys in one revision when it expires and keeps them while it is renewed", async () => {
    // Renewals may be late by 2 s on a busy machine, and together take longer than one lease.
    const { leaseId, ttlSeconds } = await store.leases.grant(3, signal());
    expect(ttlSeconds).toBe(3);
    const revision = await commit(leased("a", leaseId), leased("b", leaseId), put("free", ""));
    expect((await readOne(store, `${root}a`, signal()))?.leaseId).toBe(leaseId);
    for (let i = 0; i < 4; i++) {
      await delay(1_000);
      expect(await store.leases.renew({ leaseId }, signal())).toEqual({ kind: "renewed", ttlSeconds: 3 });
    }
    expect(await keysNow()).toEqual(["a", "b", "free"]);
    const deletions = await eventsUntil(
      store.watch({ prefix: root, fromRevision: revision + 1n }, signal()),
      2,
    );
    expect(deletions.map((event) => [event.kind, event.key.slice(root.length)])).toEqual([
      ["delete", "a"],
      ["delete", "b"],
    ]);
    expect(new Set(deletions.map((event) => event.modRevision)).size).toBe(1);
    expect(await store.leases.renew({ leaseId }, signal())).toEqual({ kind: "expired" });
  });

  it("a revoked lease deletes its keys at once, except keys that were put again without it", async () => {
    const { leaseId } = await store.leases.grant(60, signal());
    await commit(leased("a", leaseId), leased("b", leaseId));
    await commit(put("b", "free now"));
    await store.leases.revoke(leaseId, signal());
    await store.leases.revoke(leaseId, signal());
    expect(await keysNow()).toEqual(["b"]);
    await expect(store.txn({ ops: [leased("c", leaseId)] }, signal())).rejects.toMatchObject({
      code: "BERTH_ETCD_FAILED",
    });
  });

  const leased = (key: string, leaseId: string): Op => ({ kind: "put", key: root + key, value: "", leaseId });
});

function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `n${String(i).padStart(4, "0")}`);
}

async function collect<T>(messages: AsyncIterable<T>): Promise<readonly T[]> {
  const collected: T[] = [];
  for await (const message of messages) collected.push(message);
  return collected;
}

async function eventsUntil(
  messages: AsyncIterable<WatchMessage>,
  count: number,
): Promise<Extract<WatchMessage, { kind: "events" }>["events"]> {
  const events = [];
  for await (const message of messages) {
    if (message.kind !== "events") throw new Error(`the watch ended: ${message.kind}`);
    events.push(...message.events);
    if (events.length >= count) break;
  }
  return events;
}
