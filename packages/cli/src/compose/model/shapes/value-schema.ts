/**
 * Describes the values that a part of a Compose file can have, before its variables are replaced. The JSON Schema for
 * editors and the documentation of the keys are generated from it.
 */
export type ValueSchema =
  | {
      readonly kind: "scalar";
      readonly types: readonly ScalarType[];
      /** Regular expression for text. Text with a variable always matches. */
      readonly pattern?: string;
      /** The only values besides text with a variable. */
      readonly choices?: readonly string[];
    }
  | { readonly kind: "list"; readonly items: ValueSchema; readonly hasUniqueItems: boolean }
  | {
      readonly kind: "map";
      readonly keys: Readonly<Record<string, KeySchema>>;
      readonly required: readonly string[];
    }
  /** A mapping whose keys the user chooses. */
  | { readonly kind: "dictionary"; readonly values: ValueSchema }
  | { readonly kind: "choice"; readonly options: readonly ValueSchema[] }
  | { readonly kind: "anything" }
  /** No value is valid. */
  | { readonly kind: "nothing" };

export type ScalarType = "string" | "number" | "integer" | "boolean" | "null";

/** The values of a key, and its documentation. */
export interface KeySchema {
  readonly schema: ValueSchema;
  readonly about: KeyDocumentation;
}

/** The documentation of a Compose key. Whether berth supports the key is determined by reading the examples. */
export interface KeyDocumentation {
  /** Purpose of the key and its effect in a cluster, as a phrase without a full stop. */
  readonly summary: string;
  /** A valid value that differs from the default, so that it has an effect. */
  readonly example: Example;
  /** Further values with different support. */
  readonly others?: readonly Example[];
  /** Sibling keys without which the example is not valid. */
  readonly with?: Readonly<Record<string, Example>>;
  /** Keys of the service without which the key has no effect. */
  readonly inService?: Readonly<Record<string, Example>>;
  /** Whether the key never changes what is deployed. A test finds a key for which this is wrong. */
  readonly hasNoEffect?: boolean;
  /** Different behavior of Docker Compose. By default, Compose does the same on one host. */
  readonly compose?: string;
  /** Different behavior of `docker stack deploy`. By default, it does the same. */
  readonly swarm?: string;
}

/** A value of JSON. */
export type Example =
  | string
  | number
  | boolean
  | null
  | readonly Example[]
  | { readonly [key: string]: Example };

export const TEXT_SCHEMA: ValueSchema = { kind: "scalar", types: ["string"] };
export const NULL_SCHEMA: ValueSchema = { kind: "scalar", types: ["null"] };

/** Returns the schema of a value with one of several forms. */
export function choiceOf(...options: readonly ValueSchema[]): ValueSchema {
  return { kind: "choice", options };
}

/** Returns the schema of a list. */
export function listSchema(items: ValueSchema, hasUniqueItems = false): ValueSchema {
  return { kind: "list", items, hasUniqueItems };
}
