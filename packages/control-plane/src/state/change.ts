import { hasOnlyFiniteNumbers } from "@berth/proto";
import { buildKey, parseKey, parseVersionSegment, versionSegment } from "../store/keys.js";
import type { Entry } from "../store/store.js";
import type { DeltaBuilder } from "./delta.js";
import type { JsonObject, RecordKind } from "./record-kind.js";
import { type ContentOf, type IdOf, RECORD_KINDS, type RecordKindName } from "./record-kinds.js";
import type { Tables } from "./tables.js";

/** Writes or deletes one record. Every change to the cluster's state has this form, in memory and in the store. */
export type Change = Put | Deletion;

/** Writes a record, such as `{ kind: "put-task", task }`. */
export type Put = {
  [Name in RecordKindName]: { readonly kind: `put-${Name}` } & ContentOf<Name>;
}[RecordKindName];

/** Deletes a record, such as `{ kind: "delete-task", serviceId, taskId }`. */
export type Deletion = {
  [Name in RecordKindName]: { readonly kind: `delete-${Name}` } & IdOf<Name>;
}[RecordKindName];

/**
 * A kind of record with its types erased. A `Put` contains the fields of the content, and a `Deletion` those of the ID, so
 * the casts to `Put` and `Deletion` in this file are safe.
 */
type AnyRecordKind = RecordKind<Put, Deletion>;

/** Fields of IDs that are numbers. Their key segments are padded, so that they sort as numbers. */
const NUMERIC_FIELDS: ReadonlySet<string> = new Set(["version", "sequence"]);

/** The kind of record that a change concerns, and whether the change writes or deletes the record. */
interface Operation {
  readonly recordName: RecordKindName;
  readonly recordKind: AnyRecordKind;
  readonly isPut: boolean;
}

const OPERATION_BY_CHANGE_KIND = new Map<Change["kind"], Operation>();
const RECORD_BY_COLLECTION = new Map<string, Omit<Operation, "isPut">>();
for (const [recordName, entry] of Object.entries(RECORD_KINDS) as [RecordKindName, unknown][]) {
  const recordKind = entry as AnyRecordKind;
  OPERATION_BY_CHANGE_KIND.set(`put-${recordName}`, { recordName, recordKind, isPut: true });
  OPERATION_BY_CHANGE_KIND.set(`delete-${recordName}`, { recordName, recordKind, isPut: false });
  RECORD_BY_COLLECTION.set(recordKind.collection, { recordName, recordKind });
}

function findOperation(change: Change): Operation {
  const operation = OPERATION_BY_CHANGE_KIND.get(change.kind);
  if (operation === undefined) throw new RangeError(`unknown kind of change: ${change.kind}`);
  return operation;
}

export function isDeletion(change: Change): change is Deletion {
  return !findOperation(change).isPut;
}

/** Returns the store key of a record. */
export function recordKey<Name extends RecordKindName>(name: Name, id: IdOf<Name>): string {
  return buildRecordKey(RECORD_KINDS[name], id);
}

/** Returns the store key that a change writes. */
export function changeKey(change: Change): string {
  const operation = findOperation(change);
  return buildRecordKey(operation.recordKind, changeId(operation, change));
}

/** Returns a change that contains the ID of the changed record. */
function changeId({ recordKind, isPut }: Operation, change: Change): Deletion {
  return isPut ? recordKind.idOf(change as Put) : (change as Deletion);
}

function buildRecordKey(
  recordKind: Pick<AnyRecordKind, "collection"> & { readonly keyFields: readonly string[] },
  id: object,
): string {
  const segments = recordKind.keyFields.map((field) => {
    const value = (id as Readonly<Record<string, unknown>>)[field];
    return typeof value === "number" ? versionSegment(value) : String(value);
  });
  return buildKey(recordKind.collection, segments);
}

/** Returns the deletion of the record with this key, or undefined if the key does not belong to a record. */
export function deletionOfKey(key: string): Deletion | undefined {
  const parsed = parseKey(key);
  const record = parsed && RECORD_BY_COLLECTION.get(parsed.collection);
  if (parsed === undefined || record === undefined) return undefined;
  const { recordName, recordKind } = record;
  if (parsed.segments.length !== recordKind.keyFields.length) return undefined;
  const deletion: Record<string, unknown> = { kind: `delete-${recordName}` };
  for (const [index, field] of recordKind.keyFields.entries()) {
    const segment = parsed.segments[index] ?? "";
    const value = NUMERIC_FIELDS.has(field) ? parseVersionSegment(segment) : segment;
    if (value === undefined) return undefined;
    deletion[field] = value;
  }
  return deletion as unknown as Deletion;
}

/** Returns the value that a change writes to the store, or undefined for a deletion. */
export function encodeValue(change: Change): string | undefined {
  const { recordKind, isPut } = findOperation(change);
  return isPut ? JSON.stringify(recordKind.encode(change as Put)) : undefined;
}

export type DecodedEntry =
  | { readonly kind: "put"; readonly put: Put }
  /** The key belongs to the leader, a server, the schema, or a newer release. */
  | { readonly kind: "other" }
  /** This release cannot read the record. The leader logs it and does not change it. */
  | { readonly kind: "unreadable"; readonly reason: string };

/** Decodes a store entry into the change that wrote it. Never throws, because users and other releases also write to etcd. */
export function decodeEntry({ key, value }: Entry): DecodedEntry {
  const deletion = deletionOfKey(key);
  if (deletion === undefined) return { kind: "other" };
  const { recordName, recordKind } = findOperation(deletion);
  try {
    const content = recordKind.decode(parseJsonObject(value), deletion);
    if (!hasOnlyFiniteNumbers(content)) throw new Error("the record contains a number that is not finite");
    return { kind: "put", put: { ...content, kind: `put-${recordName}` } as Put };
  } catch (error) {
    return { kind: "unreadable", reason: error instanceof Error ? error.message : String(error) };
  }
}

function parseJsonObject(value: string): JsonObject {
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new Error("the value is not a JSON object");
  }
  return parsed as JsonObject;
}

/**
 * Applies a change to the tables and adds it to `delta`. Returns the change that undoes it, or undefined if the change
 * deletes a record that does not exist.
 */
export function writeChange(tables: Tables, change: Change, delta?: DeltaBuilder): Change | undefined {
  const operation = findOperation(change);
  const { recordName, recordKind, isPut } = operation;
  const id = changeId(operation, change);
  const before = recordKind.get(tables, id);
  const after = isPut ? (change as Put) : undefined;
  if (before === undefined && after === undefined) return undefined;
  if (after === undefined) {
    recordKind.delete(tables, id);
  } else {
    recordKind.put(tables, after);
  }
  if (delta !== undefined) recordKind.addToDelta(delta, id, { before, after });
  if (before !== undefined) return { ...before, kind: `put-${recordName}` } as Put;
  return { ...id, kind: `delete-${recordName}` } as Deletion;
}
