import type {
  DescriptorSet,
  EnumDescriptor,
  FieldDescriptor,
  FileDescriptor,
  MessageDescriptor,
} from "./descriptors.js";

/** A JSON Schema. */
export type Schema = Readonly<Record<string, unknown>>;

/** Numbers of the fields in descriptor.proto, of which paths of comments consist. */
const FILE_MESSAGE = 4;
const FILE_ENUM = 5;
const MESSAGE_FIELD = 2;
const MESSAGE_NESTED = 3;
const MESSAGE_ENUM = 4;

/** Decoders ignore what is not Base64. */
const BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

const MAX_INT32 = 2 ** 31 - 1;
const MAX_UINT32 = 2 ** 32 - 1;

/** A message or an enum, with its comments. */
type TypeDefinition =
  | { readonly kind: "message"; readonly descriptor: MessageDescriptor; readonly comment: CommentOf }
  | { readonly kind: "enum"; readonly descriptor: EnumDescriptor; readonly comment: CommentOf };

/** Returns the comment of an element within a definition, by its path. */
type CommentOf = (...path: readonly number[]) => string;

/** The types of a descriptor set, by full name: ".berth.v1.Task". */
export type TypeDefinitions = ReadonlyMap<string, TypeDefinition>;

/** Returns a function that returns comments of a file, without line breaks. */
export function commentsOf({ sourceCodeInfo }: FileDescriptor): CommentOf {
  const comments = new Map(
    (sourceCodeInfo?.location ?? []).map(({ path = [], leadingComments = "" }) => [
      path.join("."),
      leadingComments.trim().replaceAll(/\s*\n\s*/g, " "),
    ]),
  );
  return (...path) => comments.get(path.join(".")) ?? "";
}

export function typeDefinitions({ file: files }: DescriptorSet): TypeDefinitions {
  const definitions = new Map<string, TypeDefinition>();
  for (const file of files) {
    const commentOf = commentsOf(file);
    const below =
      (...prefix: readonly number[]): CommentOf =>
      (...path) =>
        commentOf(...prefix, ...path);
    const addEnum = (scope: string, descriptor: EnumDescriptor, comment: CommentOf): void => {
      definitions.set(`${scope}.${descriptor.name}`, { kind: "enum", descriptor, comment });
    };
    const addMessage = (scope: string, descriptor: MessageDescriptor, prefix: readonly number[]): void => {
      const name = `${scope}.${descriptor.name}`;
      definitions.set(name, { kind: "message", descriptor, comment: below(...prefix) });
      for (const [index, nested] of (descriptor.nestedType ?? []).entries()) {
        addMessage(name, nested, [...prefix, MESSAGE_NESTED, index]);
      }
      for (const [index, nested] of (descriptor.enumType ?? []).entries()) {
        addEnum(name, nested, below(...prefix, MESSAGE_ENUM, index));
      }
    };
    for (const [index, message] of (file.messageType ?? []).entries()) {
      addMessage(".berth.v1", message, [FILE_MESSAGE, index]);
    }
    for (const [index, descriptor] of (file.enumType ?? []).entries()) {
      addEnum(".berth.v1", descriptor, below(FILE_ENUM, index));
    }
  }
  return definitions;
}

/** Returns the name of a type in the document, which is that of the generated TypeScript: "Task", "Rollout_State". */
export function schemaName(typeName: string): string {
  return typeName.replace(/^\.berth\.v1\./, "").replaceAll(".", "_");
}

/** Returns the schemas of these types and of all types in their fields, by name. */
export function renderSchemas(
  roots: readonly string[],
  definitions: TypeDefinitions,
): Readonly<Record<string, Schema>> {
  const schemas = new Map<string, Schema>();
  const pending = [...roots];
  for (let typeName = pending.pop(); typeName !== undefined; typeName = pending.pop()) {
    const name = schemaName(typeName);
    const definition = definitions.get(typeName);
    if (definition === undefined) throw new Error(`unknown type ${typeName}`);
    if (schemas.has(name)) continue;
    const references: string[] = [];
    const refer = (reference: string): Schema => {
      references.push(reference);
      return { $ref: `#/components/schemas/${schemaName(reference)}` };
    };
    schemas.set(
      name,
      definition.kind === "enum" ? enumSchema(definition) : messageSchema(definition, definitions, refer),
    );
    pending.push(...references);
  }
  return Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function enumSchema({ descriptor, comment }: Extract<TypeDefinition, { kind: "enum" }>): Schema {
  return { ...described(comment()), type: "string", enum: descriptor.value.map(({ name }) => name) };
}

function messageSchema(
  { descriptor, comment }: Extract<TypeDefinition, { kind: "message" }>,
  definitions: TypeDefinitions,
  refer: (typeName: string) => Schema,
): Schema {
  const fields = descriptor.field ?? [];
  const properties = fields.map((field, index) => {
    const schema = fieldSchema(field, definitions, refer);
    return [field.jsonName, { ...described(comment(MESSAGE_FIELD, index)), ...schema }] as const;
  });
  const choices = (descriptor.oneofDecl ?? []).flatMap((_, index) => {
    const members = fields.filter((field) => field.oneofIndex === index && field.proto3Optional !== true);
    return members.length < 2 ? [] : [atMostOneOf(members.map(({ jsonName }) => jsonName))];
  });
  return {
    ...described(comment()),
    type: "object",
    additionalProperties: false,
    ...(properties.length > 0 && { properties: Object.fromEntries(properties) }),
    ...(choices.length > 0 && { allOf: choices }),
  };
}

/** The oneof may also be absent. */
function atMostOneOf(names: readonly string[]): Schema {
  const required = names.map((name) => ({ required: [name] }));
  return { oneOf: [...required, { not: { anyOf: required } }] };
}

function fieldSchema(
  field: FieldDescriptor,
  definitions: TypeDefinitions,
  refer: (typeName: string) => Schema,
): Schema {
  const type = definitions.get(field.typeName ?? "");
  if (type?.kind === "message" && type.descriptor.options?.mapEntry === true) {
    const value = type.descriptor.field?.find(({ name }) => name === "value");
    if (value === undefined) throw new Error(`${field.typeName} has no value`);
    // JavaScript would lose an entry with this key.
    const propertyNames = { not: { const: "__proto__" } };
    return { type: "object", propertyNames, additionalProperties: valueSchema(value, refer) };
  }
  const value = valueSchema(field, refer);
  return field.label === "LABEL_REPEATED" ? { type: "array", items: value } : value;
}

function valueSchema({ type, typeName = "" }: FieldDescriptor, refer: (typeName: string) => Schema): Schema {
  switch (type) {
    case "TYPE_MESSAGE":
    case "TYPE_ENUM":
      return refer(typeName);
    case "TYPE_STRING":
      return { type: "string" };
    case "TYPE_BYTES":
      return { type: "string", contentEncoding: "base64", pattern: BASE64 };
    case "TYPE_BOOL":
      return { type: "boolean" };
    case "TYPE_DOUBLE":
      return { type: "number" };
    case "TYPE_INT32":
      return { type: "integer", minimum: -MAX_INT32 - 1, maximum: MAX_INT32 };
    case "TYPE_UINT32":
      return { type: "integer", minimum: 0, maximum: MAX_UINT32 };
    case "TYPE_INT64":
      return { type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER };
    case "TYPE_UINT64":
      return { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
    default:
      throw new Error(`no JSON type for ${type}`);
  }
}

function described(description: string): Schema {
  return description === "" ? {} : { description };
}
