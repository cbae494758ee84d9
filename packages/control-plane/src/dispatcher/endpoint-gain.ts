import { isDeepStrictEqual } from "node:util";

/** An entry of a traffic table. Its endpoints are sorted by task ID. */
interface Entry {
  readonly key: string;
  readonly endpoints: readonly { readonly taskId: string }[];
}

/**
 * Returns whether the entries of a service differ only by additional endpoints, in entries that already have endpoints.
 * Such a change is not urgent, because connections are served without it.
 */
export function onlyGainEndpoints(before: readonly Entry[], after: readonly Entry[]): boolean {
  if (before.length !== after.length) return false;
  const byKey = new Map(before.map((entry) => [entry.key, entry]));
  let gained = 0;
  for (const entry of after) {
    const previous = byKey.get(entry.key);
    if (previous === undefined || !isSameOrGain(previous, entry)) return false;
    gained += entry.endpoints.length - previous.endpoints.length;
  }
  return gained > 0;
}

function isSameOrGain(before: Entry, after: Entry): boolean {
  if (before.endpoints.length === 0) return isDeepStrictEqual(before, after);
  const previousTaskIds = new Set(before.endpoints.map(({ taskId }) => taskId));
  const endpoints = after.endpoints.filter(({ taskId }) => previousTaskIds.has(taskId));
  return isDeepStrictEqual(before, { ...after, endpoints });
}
