import { BerthError } from "@berth/proto";
import type { SchemaVersions } from "../core/schema/migrations.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import { MIGRATION_KEY, SCHEMA_KEY } from "./keys.js";
import { readOne } from "./read.js";
import type { Compare, Entry, Store } from "./store.js";

/** A migration that a leader has begun. It is stored until all records have the new version. */
export interface PendingMigration {
  /** The version from which the records are migrated. */
  readonly from: number;
  /** The last key whose record has the new version. Keys are migrated in order. Empty at first. */
  readonly after: string;
  /** Revision of the entry, which each transaction of the migration compares. */
  readonly modRevision: bigint;
}

/** The version of the records in the store. */
export interface StoredSchema {
  /** Version of the records. While a migration is pending, some records still have an older version. */
  readonly version: number;
  readonly modRevision: bigint;
  readonly pending: PendingMigration | undefined;
}

/** The value of the key of a pending migration. */
export function encodePending({ from, after }: Pick<PendingMigration, "from" | "after">): string {
  return JSON.stringify({ from, after });
}

/**
 * Checks the schema of the store when a server starts. Writes the newest version into an empty store, and otherwise
 * nothing.
 *
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED, BERTH_ETCD_UNAVAILABLE
 */
export async function ensureSchema(store: Store, own: SchemaVersions, signal: AbortSignal): Promise<void> {
  const entry = await readOne(store, SCHEMA_KEY, signal);
  if (entry !== undefined) {
    requireSupported(parseVersion(entry), own);
    return;
  }
  const outcome = await store.txn(
    {
      compare: [{ kind: "absent", key: SCHEMA_KEY }],
      ops: [{ kind: "put", key: SCHEMA_KEY, value: String(own.newest) }],
    },
    signal,
  );
  if (outcome.kind === "committed") return;
  if (outcome.kind === "unknown") throw outcome.cause;
  return ensureSchema(store, own, signal);
}

/**
 * Reads the version of the records and the migration that is pending, if any.
 *
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED if this release cannot work with them, BERTH_ETCD_UNAVAILABLE
 */
export async function readSchema(
  store: Store,
  own: SchemaVersions,
  signal: AbortSignal,
): Promise<StoredSchema> {
  const outcome = await store.txn(
    {
      ops: [
        { kind: "get", key: SCHEMA_KEY },
        { kind: "get", key: MIGRATION_KEY },
      ],
    },
    signal,
  );
  if (outcome.kind === "unknown") throw outcome.cause;
  const results = outcome.kind === "committed" ? outcome.results : [];
  const [schema, migration] = results.map((result) => (result.kind === "get" ? result.entry : undefined));
  if (schema === undefined) {
    throw unsupportedSchemaError(
      "the data in etcd has no schema version; restore a backup (berth backup restore)",
    );
  }
  const version = parseVersion(schema);
  requireSupported(version, own);
  return { version, modRevision: schema.modRevision, pending: migration && parsePending(migration) };
}

/**
 * Raises the version and begins the migration of the records. The next leader migrates them before it serves. From now
 * on, servers that do not support the version cannot start.
 *
 * @throws BerthError BERTH_NOT_LEADER; BERTH_ETCD_UNAVAILABLE, after which the version may be raised or not
 */
export async function raiseSchema(
  { store, fence, to }: { readonly store: Store; readonly fence: Compare; readonly to: number },
  { version, modRevision }: StoredSchema,
  signal: AbortSignal,
): Promise<void> {
  const outcome = await store.txn(
    {
      compare: [
        fence,
        { kind: "modified-at", key: SCHEMA_KEY, revision: modRevision },
        { kind: "absent", key: MIGRATION_KEY },
      ],
      ops: [
        { kind: "put", key: SCHEMA_KEY, value: String(to) },
        { kind: "put", key: MIGRATION_KEY, value: encodePending({ from: version, after: "" }) },
      ],
    },
    signal,
  );
  if (outcome.kind === "unknown") throw outcome.cause;
  if (outcome.kind === "refused") throw notLeaderError({ reason: "another server was elected" });
}

/**
 * Checks the value of `SCHEMA_KEY` in a backup.
 *
 * @throws BerthError BERTH_SCHEMA_UNSUPPORTED
 */
export function requireSupportedSchema(value: string, own: SchemaVersions): void {
  requireSupported(parseVersion({ value }), own);
}

function parseVersion({ value }: Pick<Entry, "value">): number {
  const version = /^[1-9][0-9]{0,8}$/.test(value) ? Number(value) : undefined;
  if (version !== undefined) return version;
  throw unsupportedSchemaError(
    `the data in etcd has the schema ${JSON.stringify(value.slice(0, 80))}, which is not a version`,
  );
}

function parsePending({ value, modRevision }: Entry): PendingMigration {
  const problem = `the migration in etcd is malformed: ${JSON.stringify(value.slice(0, 80))}; restore a backup (berth backup restore)`;
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw unsupportedSchemaError(problem);
  }
  const { from, after }: { readonly from?: unknown; readonly after?: unknown } = Object(parsed);
  if (!Number.isSafeInteger(from) || typeof after !== "string") throw unsupportedSchemaError(problem);
  return { from: Number(from), after, modRevision };
}

function requireSupported(version: number, { oldest, newest }: SchemaVersions): void {
  if (version >= oldest && version <= newest) return;
  const supported = oldest === newest ? `schema ${newest}` : `schema ${oldest} to ${newest}`;
  const remedy =
    version > newest
      ? "use the release that wrote it, or a newer one"
      : 'run "berth upgrade finalize" with the previous release first';
  throw unsupportedSchemaError(
    `the data in etcd has schema ${version}, but this release of berth supports ${supported}; ${remedy}`,
  );
}

function unsupportedSchemaError(message: string): BerthError {
  return new BerthError({ code: "BERTH_SCHEMA_UNSUPPORTED", message });
}
