import { BerthError, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import {
  type MigrationPlan,
  planMigration,
  type Schema,
  type StoredRecord,
} from "../core/schema/migrations.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import { MAX_TXN_BYTES, MAX_TXN_OPS, opBytes } from "./check-txn.js";
import { MIGRATION_KEY, ROOT } from "./keys.js";
import { encodePending, type PendingMigration, readSchema, type StoredSchema } from "./schema.js";
import type { Compare, Entry, Op, Store } from "./store.js";

/** Maximum number of changes in one transaction, which also compares the leader key and writes the progress. */
const MAX_CHANGES = MAX_TXN_OPS - 2;

/**
 * Maximum size of the changes in one transaction. Leaves room for the comparisons. A larger record gets a transaction
 * of its own.
 */
const MAX_BYTES = MAX_TXN_BYTES / 2;

/** Pause before the progress is read again after a transaction without a known result. */
const RETRY_MS = 250;

export interface MigrateOptions {
  readonly store: Store;
  /** The comparison that fails once another server is the leader. */
  readonly fence: Compare;
  readonly schema: Schema;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A record with its new value. Without a value, the record is deleted. */
interface MigratedEntry {
  readonly entry: Entry;
  readonly op: Op;
}

/**
 * Completes the migration that a leader has begun, if one is pending. Called before a leader serves, so that nothing
 * else writes records. Each transaction migrates some records and stores the last key, so the next leader continues
 * there after a crash.
 *
 * @returns the version of all records
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED, BERTH_NOT_LEADER
 */
export async function completeMigration(options: MigrateOptions, signal: AbortSignal): Promise<number> {
  const { store, schema, clock, logger } = options;
  for (;;) {
    signal.throwIfAborted();
    try {
      const stored = await readSchema(store, schema.versions, signal);
      if (stored.pending === undefined) return stored.version;
      logger.info({ from: stored.pending.from, to: stored.version }, "migrating the records");
      await runMigration(options, stored, stored.pending, signal);
      logger.info({ version: stored.version }, "migrated all records");
      return stored.version;
    } catch (error) {
      if (!isBerthError(error, "BERTH_ETCD_UNAVAILABLE")) throw error;
      logger.warn({ err: error }, "migration interrupted; continuing");
      await sleep(clock, RETRY_MS, signal);
    }
  }
}

async function runMigration(
  options: MigrateOptions,
  { version }: StoredSchema,
  pending: PendingMigration,
  signal: AbortSignal,
): Promise<void> {
  const plan = planMigration(options.schema.migrations, pending.from, version);
  let progress = pending;
  for (const collection of plan.collections) {
    for await (const entries of readCollection(options.store, collection, signal)) {
      const remaining = entries.filter(({ key }) => key > progress.after);
      for (const batch of batches(
        remaining.flatMap((entry) => migrateEntry(plan, collection, entry, options)),
      )) {
        progress = await commitBatch(options, progress, batch, signal);
      }
    }
  }
  await commit(options, progress, { compare: [], ops: [{ kind: "delete", key: MIGRATION_KEY }] }, signal);
}

/** Yields the records of a collection in the order of their keys. A compaction ends the read: the caller reads again. */
async function* readCollection(
  store: Store,
  collection: string,
  signal: AbortSignal,
): AsyncGenerator<readonly Entry[]> {
  for await (const page of store.range({ prefix: `${ROOT}${collection}/` }, signal)) {
    if (page.kind === "compacted") {
      const message = `reading ${collection} failed: its revision was compacted`;
      throw new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message });
    }
    yield page.entries;
  }
}

/**
 * Returns the change of a record, or nothing if it stays as it is or is not valid JSON, as the leader ignores it then.
 */
function migrateEntry(
  { migrate }: MigrationPlan,
  collection: string,
  entry: Entry,
  { logger }: MigrateOptions,
): readonly MigratedEntry[] {
  const { key } = entry;
  const value = parseRecord(entry.value);
  if (value === undefined) {
    logger.error({ key }, "not migrating an unreadable record");
    return [];
  }
  const migrated = migrate(collection, { key, value });
  if (migrated === undefined) return [{ entry, op: { kind: "delete", key } }];
  const text = JSON.stringify(migrated);
  return text === entry.value ? [] : [{ entry, op: { kind: "put", key, value: text } }];
}

function parseRecord(text: string): StoredRecord["value"] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as StoredRecord["value"]) : undefined;
  } catch {
    return undefined;
  }
}

/** Splits changes into transactions of a bounded size. */
function* batches(changes: readonly MigratedEntry[]): Generator<readonly MigratedEntry[]> {
  let batch: MigratedEntry[] = [];
  let bytes = 0;
  for (const change of changes) {
    const size = opBytes(change.op);
    if (batch.length === MAX_CHANGES || (batch.length > 0 && bytes + size > MAX_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(change);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Writes records and the progress in one transaction. Returns the new progress. */
async function commitBatch(
  options: MigrateOptions,
  progress: PendingMigration,
  batch: readonly MigratedEntry[],
  signal: AbortSignal,
): Promise<PendingMigration> {
  const after = batch.at(-1)?.entry.key ?? progress.after;
  const value = encodePending({ from: progress.from, after });
  const compare = batch.map(({ entry: { key, modRevision } }): Compare => {
    return { kind: "modified-at", key, revision: modRevision };
  });
  const ops: readonly Op[] = [{ kind: "put", key: MIGRATION_KEY, value }, ...batch.map(({ op }) => op)];
  const modRevision = await commit(options, progress, { compare, ops }, signal);
  return { from: progress.from, after, modRevision };
}

/**
 * @throws BerthError BERTH_NOT_LEADER if the leader, the progress or a record has changed; BERTH_ETCD_UNAVAILABLE when
 *   the outcome is unknown
 */
async function commit(
  { store, fence }: MigrateOptions,
  progress: PendingMigration,
  { compare, ops }: { readonly compare: readonly Compare[]; readonly ops: readonly Op[] },
  signal: AbortSignal,
): Promise<bigint> {
  const isCurrent: Compare = { kind: "modified-at", key: MIGRATION_KEY, revision: progress.modRevision };
  const outcome = await store.txn({ compare: [fence, isCurrent, ...compare], ops }, signal);
  if (outcome.kind === "unknown") throw outcome.cause;
  if (outcome.kind === "refused") {
    throw notLeaderError({ reason: "a record has changed during the migration" });
  }
  return outcome.revision;
}
