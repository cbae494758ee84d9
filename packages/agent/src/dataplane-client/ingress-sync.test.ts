import { IngressEntry } from "@berth/proto";
import { pino } from "pino";
import { afterEach, expect, test, vi } from "vitest";
import type { ApplyResult } from "../dataplane/table/ingress-table.js";
import { IngressSync } from "./ingress-sync.js";
import type { ListenerTable } from "./ingress-table.js";

const log = pino({ level: "silent" });
const { signal } = new AbortController();
const entry = (published: number): IngressEntry =>
  IngressEntry.fromPartial({ key: `tcp//${published}`, published });
afterEach(() => {
  vi.useRealTimers();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An ingress process that completes an apply when the test calls `complete`. */
class SlowProcess {
  readonly tables: ListenerTable[] = [];
  #complete: (() => void) | undefined;

  readonly apply = (table: ListenerTable): Promise<ApplyResult> => {
    this.tables.push(table);
    return new Promise((resolve) => {
      this.#complete = () => resolve({ version: table.version, errors: [] });
    });
  };

  async complete(): Promise<void> {
    this.#complete?.();
    await turn();
  }

  ports(): number[][] {
    return this.tables.map(({ listeners }) => listeners.map((listener) => listener.entry?.published ?? 0));
  }
}

test("IngressSync advances the applied sequence with each table and skips outdated tables", async () => {
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(1, [entry(1)]);
  sync.update(2, [entry(2)]);
  sync.update(3, [entry(3)]);
  sync.update(4, undefined);
  expect(sync.appliedSequence).toBe(0);
  await process.complete();
  expect(sync.appliedSequence).toBe(1);
  await process.complete();
  expect(sync.appliedSequence).toBe(4);
  expect(process.ports()).toEqual([[1], [3]]);
  const [first, second] = process.tables.map(({ version }) => version);
  expect(second).toBeGreaterThan(first ?? 0);
});

test("IngressSync applies a sequence without table changes at once", () => {
  const sync = new IngressSync({ apply: new SlowProcess().apply, log, signal });
  sync.update(7, undefined);
  expect(sync.appliedSequence).toBe(7);
});

test("IngressSync does not count a sequence of the previous leader for the new leader", async () => {
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(50, [entry(1)]);
  sync.resetSequence();
  await process.complete();
  expect(sync.appliedSequence).toBe(0);
  sync.update(1, [entry(2)]);
  expect(sync.appliedSequence).toBe(0);
  await process.complete();
  expect(sync.appliedSequence).toBe(1);
});

test("IngressSync advances the applied sequence when the process fails, because it keeps its last table", async () => {
  const sync = new IngressSync({ apply: () => Promise.reject(new Error("gone")), log, signal });
  sync.update(1, [entry(1)]);
  await turn();
  expect(sync.appliedSequence).toBe(1);
});

test("IngressSync.applied() resolves when the table of the sequence is in use, and not before", async () => {
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(1, [entry(1)]);
  sync.update(2, [entry(2)]);
  const results: string[] = [];
  void sync.whenApplied(1).then((isApplied) => results.push(`1 ${isApplied}`));
  void sync.whenApplied(2).then((isApplied) => results.push(`2 ${isApplied}`));
  await turn();
  expect(results).toEqual([]);
  await process.complete();
  expect(results).toEqual(["1 true"]);
  await process.complete();
  expect(results).toEqual(["1 true", "2 true"]);
  expect(await sync.whenApplied(2)).toBe(true);
});

test("IngressSync.applied() is false when the process fails and when the leader is replaced", async () => {
  const failing = new IngressSync({ apply: () => Promise.reject(new Error("gone")), log, signal });
  failing.update(1, [entry(1)]);
  const refused = failing.whenApplied(1);
  expect(await refused).toBe(false);
  expect(await failing.whenApplied(1)).toBe(false);
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(1, [entry(1)]);
  const asked = sync.whenApplied(1);
  sync.resetSequence();
  expect(await asked).toBe(false);
});

test("IngressSync retries a failed apply with back-off, without another change", async () => {
  vi.useFakeTimers();
  let failures = 2;
  const triedMs: number[] = [];
  const startMs = Date.now();
  const apply = async ({ version }: ListenerTable): Promise<ApplyResult> => {
    triedMs.push(Date.now() - startMs);
    failures -= 1;
    if (failures >= 0) throw new Error("gone");
    return { version, errors: [] };
  };
  const sync = new IngressSync({ apply, log, signal });
  sync.update(1, [entry(1)]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(triedMs).toEqual([0, 1_000, 3_000]);
  expect(await sync.whenApplied(1)).toBe(true);
});
