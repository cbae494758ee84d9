import { hasOnlyFiniteNumbers } from "@berth/proto";
import { buildKey, parseKey, parseVersionSegment, versionSegment } from "../store/keys.js";
import type { Entry } from "../store/store.js";
import type { DeltaBuilder } from "./delta.js";
import {
  type ContentOf,
  type IdOf,
  type JsonObject,
  RECORD_KINDS,
  type RecordKind,
  type RecordName,
  type Tables,
} from "./record-kinds.js";

/** Writes or deletes one record. Each change of the cluster's state has this form, in memory and in the store. */
export type Change = Put | Deletion;

/** A put of a record, such as `{ kind: "put-task", task }`. */
export type Put = {
  [Name in RecordName]: { readonly kind: `put-${Name}` } & ContentOf<Name>;
}[RecordName];

/** A deletion of a record, such as `{ kind: "delete-task", serviceId, taskId }`. */
export type Deletion = {
  [Name in RecordName]: { readonly kind: `delete-${Name}` } & IdOf<Name>;
}[RecordName];

/**
 * A kind of record with its types erased. A put contains the fields of the content, and a deletion those of the ID, so
 * the casts to `Put` and `Deletion` in this file are safe.
 */
type AnyKind = RecordKind<Put, Deletion>;

/** Fields of IDs that are numbers. Their key segments are padded, so that they sort as numbers. */
const NUMERIC_FIELDS: ReadonlySet<string> = new Set(["version", "sequence"]);

/** The kind of record that a change concerns, and whether the change writes or deletes the record. */
interface Operation {
  readonly name: RecordName;
  readonly kind: AnyKind;
  readonly isPut: boolean;
}

const OPERATION_BY_CHANGE_KIND = new Map<Change["kind"], Operation>();
const KIND_BY_COLLECTION = new Map<string, Omit<Operation, "isPut">>();
for (const [name, entry] of Object.entries(RECORD_KINDS) as [RecordName, unknown][]) {
  const kind = entry as AnyKind;
  OPERATION_BY_CHANGE_KIND.set(`put-${name}`, { name, kind, isPut: true });
  OPERATION_BY_CHANGE_KIND.set(`delete-${name}`, { name, kind, isPut: false });
  KIND_BY_COLLECTION.set(kind.collection, { name, kind });
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
export function recordKey<Name extends RecordName>(name: Name, id: IdOf<Name>): string {
  return keyOf(RECORD_KINDS[name], id);
}

/** Returns the store key that a change writes. */
export function changeKey(change: Change): string {
  const { kind, isPut } = findOperation(change);
  return keyOf(kind, isPut ? kind.idOf(change as Put) : (change as Deletion));
}

function keyOf(
  kind: Pick<AnyKind, "collection"> & { readonly keyFields: readonly string[] },
  id: object,
): string {
  const segments = kind.keyFields.map((field) => {
    const value = (id as Readonly<Record<string, unknown>>)[field];
    return typeof value === "number" ? versionSegment(value) : String(value);
  });
  return buildKey(kind.collection, segments);
}

/** Returns the deletion of the record with this key, or undefined if the key does not belong to a record. */
export function deletionOfKey(key: string): Deletion | undefined {
  const parsed = parseKey(key);
  const recordKind = parsed && KIND_BY_COLLECTION.get(parsed.collection);
  if (parsed === undefined || recordKind === undefined) return undefined;
  const { name, kind } = recordKind;
  if (parsed.segments.length !== kind.keyFields.length) return undefined;
  const id: Record<string, unknown> = { kind: `delete-${name}` };
  for (const [index, field] of kind.keyFields.entries()) {
    const segment = parsed.segments[index] ?? "";
    const value = NUMERIC_FIELDS.has(field) ? parseVersionSegment(segment) : segment;
    if (value === undefined) return undefined;
    id[field] = value;
  }
  return id as unknown as Deletion;
}

/** Returns the value that a change writes to the store, or undefined for a deletion. */
export function encodeValue(change: Change): string | undefined {
  const { kind, isPut } = findOperation(change);
  return isPut ? JSON.stringify(kind.encode(change as Put)) : undefined;
}

export type Decoded =
  | { readonly kind: "put"; readonly put: Put }
  /** The key belongs to the leader, a server, the schema, or a newer release. */
  | { readonly kind: "other" }
  /** This release cannot read the record. The leader logs it and does not change it. */
  | { readonly kind: "unreadable"; readonly reason: string };

/** Decodes a store entry into the change that wrote it. Never throws, since users and other releases also write to etcd. */
export function decodeEntry({ key, value }: Entry): Decoded {
  const deletion = deletionOfKey(key);
  if (deletion === undefined) return { kind: "other" };
  const { name, kind } = findOperation(deletion);
  try {
    const content = kind.decode(parseJsonObject(value), deletion);
    if (!hasOnlyFiniteNumbers(content)) throw new Error("a number of the record is invalid");
    return { kind: "put", put: { ...content, kind: `put-${name}` } as Put };
  } catch (error) {
    return { kind: "unreadable", reason: error instanceof Error ? error.message : String(error) };
  }
}

function parseJsonObject(value: string): JsonObject {
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed !== "object" || parsed === null) throw new Error("the value is not a JSON object");
  return parsed as JsonObject;
}

/**
 * Applies a change to the tables and adds it to `delta`. Returns the change that undoes it. Undefined if the deleted
 * record did not exist.
 */
export function writeChange(tables: Tables, change: Change, delta?: DeltaBuilder): Change | undefined {
  const { name, kind, isPut } = findOperation(change);
  const id = isPut ? kind.idOf(change as Put) : (change as Deletion);
  const before = kind.get(tables, id);
  if (isPut) {
    kind.put(tables, change as Put);
  } else if (before !== undefined) {
    kind.delete(tables, id);
  }
  if (delta !== undefined) kind.addToDelta(delta, id, { before, after: isPut ? (change as Put) : undefined });
  if (before !== undefined) return { ...before, kind: `put-${name}` } as Put;
  return isPut ? ({ ...id, kind: `delete-${name}` } as Deletion) : undefined;
}
