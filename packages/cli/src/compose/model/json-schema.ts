import { assertNever } from "@berth/proto";
import { projectShape } from "./project-shape.js";
import type { Example, KeySchema, ValueSchema } from "./shapes/value-schema.js";

type ScalarSchema = Extract<ValueSchema, { readonly kind: "scalar" }>;

/** A JSON Schema, as JSON. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/** Version of JSON Schema, the one that the language servers of editors support best. */
const SCHEMA_DIALECT = "http://json-schema.org/draft-07/schema#";
/** Pattern of text with a variable, whose value is not known in an editor. */
const VARIABLE_PATTERN = "\\$";

/** Returns the JSON Schema of Compose files with the keys of berth, for editors. */
export function composeJsonSchema(): JsonSchema {
  return {
    $schema: SCHEMA_DIALECT,
    title: "Compose file for berth",
    ...toJsonSchema(projectShape.schema),
  };
}

function toJsonSchema(schema: ValueSchema): JsonSchema {
  switch (schema.kind) {
    case "scalar":
      return scalarSchema(schema);
    case "list": {
      const list = { type: "array", items: toJsonSchema(schema.items) };
      return schema.hasUniqueItems ? { ...list, uniqueItems: true } : list;
    }
    case "map":
      return mapSchema(schema.keys, schema.required);
    case "dictionary":
      return { type: "object", additionalProperties: toJsonSchema(schema.values) };
    case "choice":
      return choiceSchema(schema.options.map(toJsonSchema));
    case "anything":
      return {};
    case "nothing":
      return { not: {} };
    default:
      return assertNever(schema);
  }
}

/** Returns the schema of a scalar. Its pattern applies to text only, so that it can stand next to other types. */
function scalarSchema({ types, pattern, choices }: ScalarSchema): JsonSchema {
  if (choices !== undefined) {
    return { anyOf: [{ enum: choices }, { type: "string", pattern: VARIABLE_PATTERN }] };
  }
  const [first] = types;
  const type = types.length === 1 ? { type: first } : { type: types };
  return pattern === undefined ? type : { ...type, pattern: `${pattern}|${VARIABLE_PATTERN}` };
}

function mapSchema(keys: Readonly<Record<string, KeySchema>>, required: readonly string[]): JsonSchema {
  const properties = Object.fromEntries(
    Object.entries(keys).map(([name, { schema, about }]) => {
      const description: { readonly description: string; readonly examples: readonly Example[] } = {
        description: about.summary,
        examples: [about.example, ...(about.others ?? [])],
      };
      return [name, { ...description, ...toJsonSchema(schema) }];
    }),
  );
  const map = { type: "object", properties, patternProperties: { "^x-": {} }, additionalProperties: false };
  return required.length === 0 ? map : { ...map, required };
}

/** Combines alternatives. Alternatives that only name types become one. */
function choiceSchema(options: readonly JsonSchema[]): JsonSchema {
  const isType = (option: JsonSchema): boolean => Object.keys(option).join() === "type";
  const types = options.filter(isType).flatMap(({ type }) => type);
  const alternatives = options.filter((option) => !isType(option));
  if (types.length > 0) alternatives.unshift({ type: types.length === 1 ? types[0] : [...new Set(types)] });
  const [first] = alternatives;
  return alternatives.length === 1 && first !== undefined ? first : { anyOf: alternatives };
}
