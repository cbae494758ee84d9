import { IngressEntry } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import type { ApplyResult, IngressTable } from "../dataplane/table/ingress-table.js";
import { IngressSync } from "./ingress-sync.js";

const log = pino({ level: "silent" });
const { signal } = new AbortController();
const entry = (published: number): IngressEntry =>
  IngressEntry.fromPartial({ key: `tcp//${published}`, published });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An ingress process that takes a table only when the test says so. */
class SlowProcess {
  readonly tables: IngressTable[] = [];
  #take: (() => void) | undefined;

  readonly apply = (table: IngressTable): Promise<ApplyResult> => {
    this.tables.push(table);
    return new Promise((resolve) => {
      this.#take = () => resolve({ version: table.version, errors: [] });
    });
  };

  async take(): Promise<void> {
    this.#take?.();
    await turn();
  }

  ports(): number[][] {
    return this.tables.map(({ listeners }) => listeners.map(({ port }) => port));
  }
}

test("IngressSync acknowledges a sequence when its table serves, and skips tables that are out of date", async () => {
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(1, [entry(1)]);
  sync.update(2, [entry(2)]);
  sync.update(3, [entry(3)]);
  sync.update(4, undefined);
  expect(sync.appliedSequence).toBe(0);
  await process.take();
  expect(sync.appliedSequence).toBe(1);
  await process.take();
  expect(sync.appliedSequence).toBe(4);
  expect(process.ports()).toEqual([[1], [3]]);
  const [first, second] = process.tables.map(({ version }) => version);
  expect(second).toBeGreaterThan(first ?? 0);
});

test("IngressSync acknowledges at once what leaves the table as it was", () => {
  const sync = new IngressSync({ apply: new SlowProcess().apply, log, signal });
  sync.update(7, undefined);
  expect(sync.appliedSequence).toBe(7);
});

test("IngressSync does not count an older leader's sequence for a newer leader", async () => {
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(50, [entry(1)]);
  sync.restart();
  await process.take();
  expect(sync.appliedSequence).toBe(0);
  sync.update(1, [entry(2)]);
  expect(sync.appliedSequence).toBe(0);
  await process.take();
  expect(sync.appliedSequence).toBe(1);
});

test("IngressSync goes on after a process that failed: it serves what it has", async () => {
  const sync = new IngressSync({ apply: () => Promise.reject(new Error("gone")), log, signal });
  sync.update(1, [entry(1)]);
  await turn();
  expect(sync.appliedSequence).toBe(1);
});

test("IngressSync says when the table of a sequence is in force, and not before", async () => {
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(1, [entry(1)]);
  sync.update(2, [entry(2)]);
  const said: string[] = [];
  void sync.inForce(1).then((isInForce) => said.push(`1 ${isInForce}`));
  void sync.inForce(2).then((isInForce) => said.push(`2 ${isInForce}`));
  await turn();
  expect(said).toEqual([]);
  await process.take();
  expect(said).toEqual(["1 true"]);
  await process.take();
  expect(said).toEqual(["1 true", "2 true"]);
  expect(await sync.inForce(2)).toBe(true);
});

test("IngressSync vouches for nothing that the process did not take, nor to a leader that was replaced", async () => {
  const failing = new IngressSync({ apply: () => Promise.reject(new Error("gone")), log, signal });
  failing.update(1, [entry(1)]);
  const refused = failing.inForce(1);
  expect(await refused).toBe(false);
  expect(await failing.inForce(1)).toBe(false);
  const process = new SlowProcess();
  const sync = new IngressSync({ apply: process.apply, log, signal });
  sync.update(1, [entry(1)]);
  const asked = sync.inForce(1);
  sync.restart();
  expect(await asked).toBe(false);
});
