/** The JSON functions of a generated message type. */
export interface MessageType<T> {
  fromJSON(value: unknown): T;
  toJSON(message: T): unknown;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Key of the stored fields that this release does not know. A copy of the message by spread also has these fields, so
 * they survive a change of the record. A message that is replaced as a whole loses them.
 */
const UNKNOWN_FIELDS = Symbol("unknown fields");

/** Decodes a stored message. Keeps the fields that only a newer release knows, at any depth, for `encodeMessage`. */
export function decodeMessage<T extends object>(type: MessageType<T>, value: Fields): T {
  const message = type.fromJSON(value);
  keepUnknown(value, message as Fields);
  return message;
}

/** Encodes a message for the store, with the fields that `decodeMessage` has kept. */
export function encodeMessage<T extends object>(type: MessageType<T>, message: T): unknown {
  const value = type.toJSON(message);
  restoreUnknown(message, value);
  return value;
}

/** Generated messages have all fields of their type, also those without a value, so the other fields are unknown. */
function keepUnknown(value: Fields, message: Fields): void {
  const unknown: [string, unknown][] = [];
  for (const [name, fieldValue] of Object.entries(value)) {
    const field = findField(message, name);
    if (field === undefined) {
      unknown.push([name, fieldValue]);
    } else {
      keepNested(fieldValue, field.value);
    }
  }
  if (unknown.length === 0) return;
  Object.assign(message, { [UNKNOWN_FIELDS]: Object.fromEntries(unknown) });
}

function keepNested(value: unknown, field: unknown): void {
  if (Array.isArray(value) && Array.isArray(field)) {
    for (const [index, item] of value.entries()) keepNested(item, field[index]);
  } else if (isFields(value) && isFields(field)) {
    keepUnknown(value, field);
  }
}

function restoreUnknown(message: unknown, value: unknown): void {
  if (Array.isArray(value) && Array.isArray(message)) {
    for (const [index, item] of value.entries()) restoreUnknown(message[index], item);
    return;
  }
  if (!isFields(value) || !isFields(message)) return;
  for (const [name, fieldValue] of Object.entries(value)) {
    restoreUnknown(findField(message, name)?.value, fieldValue);
  }
  const unknown: unknown = Reflect.get(message, UNKNOWN_FIELDS);
  if (isFields(unknown)) Object.assign(value, { ...unknown, ...value });
}

/** Returns a field by its name in JSON. A member of a oneof is a field of its own there. */
function findField(message: Fields, name: string): { readonly value: unknown } | undefined {
  if (Object.hasOwn(message, name)) return { value: message[name] };
  for (const field of Object.values(message)) {
    if (isFields(field) && field.$case === name) return { value: field.value };
  }
  return undefined;
}

/** Returns whether a value has fields. `Object.entries` of bytes would list every byte. */
function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
}
