import { BerthError } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BatchUnit, splitUnits, writeBatch } from "./batch.js";
import { checkTxn } from "./check-txn.js";
import { ManualClock } from "./manual-clock.js";
import { MemoryStore } from "./memory/memory-store.js";
import { readAll } from "./read.js";
import type { Compare, Store, TxnRequest } from "./store.js";

const LEADER = "/berth/v1/leader";
const signal = new AbortController().signal;

const unitOf = (key: string, value = "v"): BatchUnit => ({
  compare: [{ kind: "absent", key: `/t/${key}` }],
  ops: [{ kind: "put", key: `/t/${key}`, value }],
});

async function ledStore(): Promise<{ store: MemoryStore; guard: readonly Compare[] }> {
  const store = new MemoryStore({ clock: new ManualClock() });
  const outcome = await store.txn({ ops: [{ kind: "put", key: LEADER, value: "me" }] }, signal);
  if (outcome.kind !== "committed") throw new Error(outcome.kind);
  return { store, guard: [{ kind: "created-at", key: LEADER, revision: outcome.revision }] };
}

describe("splitUnits", () => {
  it("keeps all units in order, whole, and every transaction within the limits", () => {
    const unit = fc
      .tuple(
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 9_000 }),
      )
      .map(([compares, ops, bytes]): BatchUnit => {
        const id = String(Math.floor(bytes));
        return {
          compare: Array.from({ length: compares }, (_, i) => ({ kind: "absent", key: `/t/${id}-${i}` })),
          ops: Array.from({ length: ops }, (_, i) => ({
            kind: "put",
            key: `/t/${id}-${i}`,
            value: "x".repeat(bytes),
          })),
        };
      });
    const guard: readonly Compare[] = [{ kind: "present", key: LEADER }];
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 20 }), (units) => {
        const chunks = splitUnits(units, guard);
        expect(chunks.flat()).toEqual(units);
        for (const chunk of chunks) {
          const uniqueOps = chunk.flatMap((each, i) =>
            each.ops.map((op) => ("key" in op ? { ...op, key: `${op.key}-${i}` } : op)),
          );
          checkTxn({ compare: [...guard, ...chunk.flatMap((each) => each.compare ?? [])], ops: uniqueOps });
        }
      }),
    );
  });
});

describe("writeBatch", () => {
  it("writes everything in as few transactions as the limits allow", async () => {
    const { store, guard } = await ledStore();
    const units = Array.from({ length: 1_000 }, (_, i) => unitOf(`k${i}`));
    const before = (await readAll(store, { key: LEADER }, signal)).revision;
    const outcome = await writeBatch({ store, guard, units }, signal);
    expect(outcome).toMatchObject({ complete: true, refused: [], unknown: [], unsent: [] });
    // 99 units fit beside the guard's comparison.
    expect(outcome.revision - before).toBe(11n);
    expect((await readAll(store, { prefix: "/t/" }, signal)).entries).toHaveLength(1_000);
  });

  it("stops after the first refusal and says which units were written", async () => {
    const { store, guard } = await ledStore();
    await store.txn({ ops: [{ kind: "put", key: "/t/k150", value: "in the way" }] }, signal);
    const units = Array.from({ length: 1_000 }, (_, i) => unitOf(`k${i}`));
    const outcome = await writeBatch({ store, guard, units, inFlight: 1 }, signal);
    expect(outcome.complete).toBe(false);
    expect(outcome.committed).toEqual(units.slice(0, 99));
    expect(outcome.refused).toEqual(units.slice(99, 198));
    expect(outcome.unsent).toEqual(units.slice(198));
  });

  it("writes nothing for a deposed leader", async () => {
    const { store, guard } = await ledStore();
    await store.txn({ ops: [{ kind: "delete", key: LEADER }] }, signal);
    await store.txn({ ops: [{ kind: "put", key: LEADER, value: "another" }] }, signal);
    const outcome = await writeBatch({ store, guard, units: [unitOf("a"), unitOf("b")] }, signal);
    expect(outcome).toMatchObject({ complete: false, committed: [] });
    expect((await readAll(store, { prefix: "/t/" }, signal)).entries).toEqual([]);
  });

  it("reports what has an unknown outcome, and sends each transaction once", async () => {
    const { store, guard } = await ledStore();
    const sent: TxnRequest[] = [];
    const flaky: Pick<Store, "txn"> = {
      txn: async (request) => {
        sent.push(request);
        return sent.length === 3
          ? { kind: "unknown", cause: new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "cut" }) }
          : store.txn(request, signal);
      },
    };
    const units = Array.from({ length: 500 }, (_, i) => unitOf(`k${i}`));
    const { range, watch, leases } = store;
    const outcome = await writeBatch(
      { store: { range, watch, leases, ...flaky }, guard, units, inFlight: 2 },
      signal,
    );
    expect(outcome.unknown).toHaveLength(99);
    expect(new Set(sent).size).toBe(sent.length);
    const all = [...outcome.committed, ...outcome.refused, ...outcome.unknown, ...outcome.unsent];
    expect(new Set(all)).toEqual(new Set(units));
  });

  it("refuses a unit that no transaction can take before sending anything", async () => {
    const { store, guard } = await ledStore();
    const units = [unitOf("small"), unitOf("large", "x".repeat(1_500_000))];
    await expect(writeBatch({ store, guard, units }, signal)).rejects.toMatchObject({
      code: "BERTH_STORE_LIMIT",
    });
    expect((await readAll(store, { prefix: "/t/" }, signal)).entries).toEqual([]);
  });
});
