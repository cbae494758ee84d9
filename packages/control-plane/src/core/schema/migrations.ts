/** The schema versions that a release supports. */
export interface SchemaVersions {
  readonly oldest: number;
  readonly newest: number;
}

/** A record in etcd, whatever its kind. */
export interface StoredRecord {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Converts records from one version of the schema to the next. */
export interface Migration {
  /** The version to which the migration leads. */
  readonly version: number;
  /** First segments of the keys of the records that it changes, such as "services". */
  readonly collections: readonly string[];
  /**
   * Returns the new value of a record, or undefined to delete it. Called once for each record, in the order of the keys,
   * with the value of the version before. A pure function: it is called again if the leader fails before the write.
   */
  readonly migrate: (record: StoredRecord) => StoredRecord["value"] | undefined;
}

/** The schema versions and migrations of a release. */
export interface Schema {
  readonly versions: SchemaVersions;
  /** Migrations in the order of their versions. There is one for each version after the oldest. */
  readonly migrations: readonly Migration[];
}

/** The schema of this release. CONTRIBUTING.md explains how to change it. */
export const SCHEMA: Schema = { versions: { oldest: 1, newest: 1 }, migrations: [] };

/** The conversion of all records from one version to another. */
export interface MigrationPlan {
  /** The collections whose records change, in the order of their keys. */
  readonly collections: readonly string[];
  /** Returns the new value of a record; undefined to delete it. */
  readonly migrate: (collection: string, record: StoredRecord) => StoredRecord["value"] | undefined;
}

/** Combines the migrations after version `from` up to version `to`, so that each record is written once. */
export function planMigration(migrations: readonly Migration[], from: number, to: number): MigrationPlan {
  const steps = migrations.filter(({ version }) => version > from && version <= to);
  const collections = [...new Set(steps.flatMap((step) => step.collections))].sort();
  return {
    collections,
    migrate: (collection, { key, value }) => {
      let current: StoredRecord["value"] | undefined = value;
      for (const step of steps) {
        if (current === undefined) return undefined;
        if (step.collections.includes(collection)) current = step.migrate({ key, value: current });
      }
      return current;
    },
  };
}
