import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import type {
  Compare,
  Op,
  Store,
  TxnRequest,
  WatchEvent,
} from "../../packages/control-plane/src/store/store.js";
import { ManualClock } from "../../packages/control-plane/src/testing/manual-clock.js";
import { MemoryStore } from "../../packages/control-plane/src/testing/memory-store/memory-store.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";

/** Generated comparisons use this many recent revisions, so that about half of them succeed. */
const RECENT = 4;

interface Step {
  readonly compare: readonly {
    readonly kind: Compare["kind"];
    readonly key: string;
    readonly revisionsAgo: number;
  }[];
  readonly ops: readonly Op[];
  readonly otherwise: readonly { readonly kind: "get"; readonly key: string }[];
}

let etcd: TestEtcd;
let etcdStore: EtcdStore;
let runs = 0;
const signal = new AbortController().signal;

beforeAll(async () => {
  etcd = await startTestEtcd();
  etcdStore = new EtcdStore({ endpoints: [etcd.endpoint] });
});
afterAll(async () => {
  etcdStore.close();
  await etcd.close();
});

const key = fc.constantFrom("a", "a/1", "a/2", "b", "b/1", "c");
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("put"),
      key,
      value: fc.string({ unit: "grapheme", maxLength: 8 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete"), key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("get"), key }) },
);
const step: fc.Arbitrary<Step> = fc.record({
  compare: fc.array(
    fc.record({
      kind: fc.constantFrom("absent", "created-at", "modified-at"),
      key,
      revisionsAgo: fc.nat({ max: RECENT - 1 }),
    }),
    { maxLength: 2 },
  ),
  ops: fc.array(op, { maxLength: 5 }),
  otherwise: fc.array(fc.record({ kind: fc.constant("get"), key }), { maxLength: 2 }),
});

describe("MemoryStore and EtcdStore", () => {
  it("MemoryStore and EtcdStore return the same results, states and events for the same transactions", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 15 }), async (steps) => {
        const inMemory = await play(new MemoryStore({ clock: new ManualClock() }), steps);
        expect(inMemory).toEqual(await play(etcdStore, steps));
      }),
      { numRuns: 60 },
    );
  });
});

/** Runs the steps and returns all results and events, with revisions relative to the start. */
async function play(store: Store, steps: readonly Step[]): Promise<unknown> {
  const root = `/berth/test/${runs++}/`;
  // Start above the number of revisions that comparisons look back: revision 0 means absent.
  for (let i = 0; i < RECENT; i++)
    await store.txn({ ops: [{ kind: "put", key: `${root}start`, value: "" }] }, signal);
  const start = (await readAll(store, { prefix: root }, signal)).revision;
  const outcomes: unknown[] = [];
  let newest = start;
  for (const each of steps) {
    const outcome = await store
      .txn(placed(each, root, newest), signal)
      .catch((error: { code: string }) => error.code);
    if (typeof outcome === "object" && outcome.kind !== "unknown") newest = outcome.revision;
    outcomes.push(outcome);
  }
  const listing = await readAll(store, { prefix: root }, signal);
  return relative(
    { outcomes, listing, events: await eventsBetween(store, root, start, newest) },
    root,
    start,
  );
}

function placed({ compare, ops, otherwise }: Step, root: string, newest: bigint): TxnRequest {
  return {
    compare: compare.map(({ kind, key: name, revisionsAgo }) =>
      kind === "absent"
        ? { kind, key: root + name }
        : { kind, key: root + name, revision: newest - BigInt(revisionsAgo) },
    ),
    ops: ops.map((each) => ({ ...each, key: root + each.key })),
    otherwise: otherwise.map((each) => ({ ...each, key: root + each.key })),
  };
}

async function eventsBetween(
  store: Store,
  root: string,
  start: bigint,
  newest: bigint,
): Promise<readonly WatchEvent[]> {
  const events: WatchEvent[] = [];
  if (newest === start) return events;
  const endKey = `${root}end`;
  await store.txn({ ops: [{ kind: "put", key: endKey, value: "" }] }, signal);
  for await (const message of store.watch({ prefix: root, fromRevision: start + 1n }, signal)) {
    if (message.kind !== "events") throw new Error(message.kind);
    for (const event of message.events) if (event.key !== endKey) events.push(event);
    if (message.events.some((event) => event.key === endKey)) break;
  }
  return events;
}

function relative(seen: object, root: string, start: bigint): unknown {
  return JSON.parse(
    JSON.stringify(seen, (_name, value) =>
      typeof value === "bigint" ? Number(value - start) : value,
    ).replaceAll(root, ""),
  );
}
