/** Serializes a JSON value with sorted keys, so that the order of keys does not matter. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(withSortedKeys(value)) ?? "";
}

function withSortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, withSortedKeys(inner)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
