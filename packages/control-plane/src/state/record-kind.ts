import type { DeltaBuilder, RecordDiff } from "./delta.js";
import type { Tables } from "./tables.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Defines one kind of record: its key, its encoding, and its table.
 *
 * `Content` is the payload of a change that writes the record. `Id` identifies the record and determines its key.
 */
export interface RecordKind<Content extends object, Id extends object> {
  /** First segment of the key. */
  readonly collection: string;
  /** The other segments of the key, in order. */
  readonly keyFields: readonly (keyof Id & string)[];
  readonly idOf: (content: Content) => Id;
  /** Returns the value in the store. */
  readonly encode: (content: Content) => unknown;
  /** @throws when the value is not a valid record with this ID */
  readonly decode: (value: JsonObject, id: Id) => Content;
  readonly get: (tables: Tables, id: Id) => Content | undefined;
  readonly put: (tables: Tables, content: Content) => void;
  readonly delete: (tables: Tables, id: Id) => void;
  /** Adds a change to the delta that listeners get. */
  readonly addToDelta: (delta: DeltaBuilder, id: Id, diff: RecordDiff<Content>) => void;
}

/** Returns its argument. Lets the compiler infer the types of the other fields from `Content` and `Id`. */
export function defineKind<Content extends object, Id extends object>(
  entry: RecordKind<Content, Id>,
): RecordKind<Content, Id> {
  return entry;
}

/** Returns the content `{ [name]: record }` of a change. Returns undefined if there is no record. */
export function wrap<Name extends string, T>(
  name: Name,
  record: T | undefined,
): { readonly [K in Name]: T } | undefined {
  // TypeScript gives an object with a computed key an index signature.
  return record === undefined ? undefined : ({ [name]: record } as { readonly [K in Name]: T });
}

/** @throws Error if the ID in a value is not the one in its key */
export function requireSameId(inValue: string, inKey: string): void {
  if (inValue === inKey) return;
  throw new Error(`the value has the id ${JSON.stringify(inValue)}, but the key ${JSON.stringify(inKey)}`);
}
