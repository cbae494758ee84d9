import { BerthError } from "@berth/proto";
import { pino } from "pino";
import { beforeEach, expect, test } from "vitest";
import type { Schema } from "../core/schema/migrations.js";
import { ManualClock } from "../testing/manual-clock.js";
import { MemoryStore } from "../testing/memory-store/memory-store.js";
import { LEADER_KEY, MIGRATION_KEY, ROOT, SCHEMA_KEY } from "./keys.js";
import { completeMigration } from "./migrate.js";
import { readAll, readOne } from "./read.js";
import { ensureSchema, raiseSchema, readSchema } from "./schema.js";
import type { Compare, Store, TxnRequest } from "./store.js";

const OLD = { oldest: 1, newest: 1 };
/** Counts how often each record is migrated, renames a field, and deletes some records. */
const NEXT: Schema = {
  versions: { oldest: 1, newest: 2 },
  migrations: [
    {
      version: 2,
      collections: ["tasks", "nodes"],
      migrate: ({ value: { zone, migrated = 0, isObsolete, ...rest } }) =>
        isObsolete === true
          ? undefined
          : { ...rest, migrated: Number(migrated) + 1, ...(zone !== undefined && { region: zone }) },
    },
  ],
};
const RECORDS = 250;
const NO_ANSWER = new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "no answer" });

const logger = pino({ level: "silent" });
const never = new AbortController().signal;
let clock: ManualClock;
let store: MemoryStore;

beforeEach(async () => {
  clock = new ManualClock();
  store = new MemoryStore({ clock });
  await ensureSchema(store, OLD, never);
  for (let index = 0; index < RECORDS; index += 1) {
    const id = String(index).padStart(3, "0");
    await put(`tasks/s1/t${id}`, JSON.stringify({ id, zone: "a", isObsolete: index % 50 === 7 }));
  }
  await put("nodes/n1", JSON.stringify({ id: "n1", zone: "b" }));
  await put("nodes/n2", "not JSON");
  await put("services/s1", JSON.stringify({ id: "s1", zone: "c" }));
});

async function put(key: string, value: string): Promise<void> {
  await store.txn({ ops: [{ kind: "put", key: ROOT + key, value }] }, never);
}

/** Makes another server the leader, and returns its fence. */
async function elect(): Promise<Compare> {
  await store.txn({ ops: [{ kind: "delete", key: LEADER_KEY }] }, never);
  const outcome = await store.txn({ ops: [{ kind: "put", key: LEADER_KEY, value: "{}" }] }, never);
  if (outcome.kind !== "committed") throw new Error(outcome.kind);
  return { kind: "created-at", key: LEADER_KEY, revision: outcome.revision };
}

async function raise(): Promise<void> {
  const stored = await readSchema(store, NEXT.versions, never);
  await raiseSchema({ store, fence: await elect(), to: 2 }, stored, never);
}

async function migrate(through: Store = store): Promise<number> {
  return completeMigration({ store: through, fence: await elect(), schema: NEXT, clock, logger }, never);
}

/** Returns the store with transactions that fail: `behave` gets the number of each write. */
function failing(behave: (write: number, commit: () => Promise<unknown>) => Promise<boolean>): Store {
  let writes = 0;
  return {
    leases: store.leases,
    range: (query, signal) => store.range(query, signal),
    watch: (query, signal) => store.watch(query, signal),
    txn: async (request: TxnRequest, signal) => {
      if (request.ops.every(({ kind }) => kind === "get")) return store.txn(request, signal);
      writes += 1;
      const isLost = await behave(writes, () => store.txn(request, signal));
      return isLost ? { kind: "unknown", cause: NO_ANSWER } : store.txn(request, signal);
    },
  };
}

async function values(): Promise<ReadonlyMap<string, unknown>> {
  const { entries } = await readAll(store, { prefix: ROOT }, never);
  return new Map(entries.map(({ key, value }) => [key.slice(ROOT.length), value]));
}

/** Checks that each record was migrated exactly once. */
async function expectMigrated(): Promise<void> {
  const found = await values();
  const tasks = [...found].filter(([key]) => key.startsWith("tasks/"));
  expect(tasks).toHaveLength(RECORDS - RECORDS / 50);
  for (const [key, value] of tasks) {
    expect(JSON.parse(String(value)), key).toEqual({ id: key.slice(-3), migrated: 1, region: "a" });
  }
  expect(JSON.parse(String(found.get("nodes/n1")))).toEqual({ id: "n1", migrated: 1, region: "b" });
  expect(found.get("nodes/n2")).toBe("not JSON");
  expect(JSON.parse(String(found.get("services/s1")))).toEqual({ id: "s1", zone: "c" });
  expect(found.get("meta/schema")).toBe("2");
  expect(found.has("meta/migration")).toBe(false);
}

test("a leader migrates all records of the kinds that change, and no others", async () => {
  await raise();
  expect(await migrate()).toBe(2);
  await expectMigrated();
});

test("a leader without a pending migration writes nothing", async () => {
  const before = await values();
  expect(await migrate()).toBe(1);
  expect(await values()).toEqual(new Map([...before, ["leader", "{}"]]));
});

test("the next leader continues after a crash at any transaction, and migrates no record twice", async () => {
  await raise();
  for (let crashes = 0; ; crashes += 1) {
    const crash = failing(async (write) => {
      if (write === 2) throw new Error("crashed");
      return false;
    });
    const result = await migrate(crash).catch((error: unknown) => error);
    if (result === 2) {
      expect(crashes).toBeGreaterThan(2);
      break;
    }
    expect(result).toMatchObject({ message: "crashed" });
    expect(await readOne(store, MIGRATION_KEY, never)).toBeDefined();
  }
  await expectMigrated();
});

test.each([
  ["was committed", true],
  ["was not committed", false],
])("a transaction without an answer that %s is not repeated blindly", async (_, isCommitted) => {
  await raise();
  const unsure = failing(async (write, commit) => {
    if (write % 2 === 0) return false;
    if (isCommitted) await commit();
    return true;
  });
  const migrated = migrate(unsure);
  await clock.advance(60_000);
  expect(await migrated).toBe(2);
  await expectMigrated();
});

test("a leader that was replaced during the migration writes nothing more", async () => {
  await raise();
  const replaced = failing(async (write) => {
    if (write === 2) await elect();
    return false;
  });
  await expect(migrate(replaced)).rejects.toMatchObject({ code: "BERTH_NOT_LEADER" });
  expect(await migrate()).toBe(2);
  await expectMigrated();
});

test("a server refuses a schema that is newer than its release, and writes nothing", async () => {
  await raise();
  const before = await values();
  const error = {
    code: "BERTH_SCHEMA_UNSUPPORTED",
    message:
      "the data in etcd has schema 2, but this release of berth supports schema 1; use the release that wrote it, or a newer one",
  };
  await expect(ensureSchema(store, OLD, never)).rejects.toMatchObject(error);
  await expect(readSchema(store, OLD, never)).rejects.toMatchObject(error);
  expect(await values()).toEqual(before);
});

test("a server refuses a schema that is older than its release supports, and says how to raise it", async () => {
  await expect(ensureSchema(store, { oldest: 2, newest: 3 }, never)).rejects.toMatchObject({
    code: "BERTH_SCHEMA_UNSUPPORTED",
    message: expect.stringContaining('run "berth upgrade finalize" with the previous release first'),
  });
});

test.each(["0", "two", "1.5", "99999999999"])("a server refuses the malformed schema %j", async (value) => {
  await store.txn({ ops: [{ kind: "put", key: SCHEMA_KEY, value }] }, never);
  await expect(ensureSchema(store, OLD, never)).rejects.toMatchObject({ code: "BERTH_SCHEMA_UNSUPPORTED" });
});

test("a second leader cannot raise the schema that the first one has raised", async () => {
  const stored = await readSchema(store, NEXT.versions, never);
  await raise();
  const second = raiseSchema({ store, fence: await elect(), to: 2 }, stored, never);
  await expect(second).rejects.toMatchObject({ code: "BERTH_NOT_LEADER" });
});
