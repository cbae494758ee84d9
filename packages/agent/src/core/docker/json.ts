// Readers for untrusted JSON. A missing value or one of another type yields a neutral value, never an exception.

/** Returns the field of an object, or undefined. */
export function readField(value: unknown, key: string): unknown {
  return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** Returns the string, or "" for a value of another type. */
export function readString(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Returns the number, or 0 for a value of another type. */
export function readNumber(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

/** Returns the list, or an empty one for a value of another type. */
export function readList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Returns the fields of an object, or an empty list for a value of another type. */
export function readEntries(value: unknown): readonly (readonly [string, unknown])[] {
  return isRecord(value) ? Object.entries(value) : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
