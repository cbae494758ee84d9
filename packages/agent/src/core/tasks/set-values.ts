/** True for what a proto3 message holds when a field was not set. Such values are left to Docker. */
function isUnset(value: unknown): boolean {
  if (value === undefined || value === "" || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** The fields of `values` that say something: without undefined, empty text, 0, false, empty lists and maps. */
export function setValues<T extends object>(values: T): Partial<T> {
  const entries = Object.entries(values).filter(([, value]) => !isUnset(value));
  return Object.fromEntries(entries) as Partial<T>;
}

/** The fields of `values` that are there at all: 0 and false count, as for a proto3 `optional` field. */
export function presentValues<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
