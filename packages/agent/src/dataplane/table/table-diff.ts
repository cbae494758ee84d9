import { isDeepStrictEqual } from "node:util";
import { type IngressListener, listenerKey } from "./ingress-table.js";

/** What has to happen to the sockets to get from one table to the next. */
export interface TableDiff {
  readonly close: readonly string[];
  readonly open: readonly IngressListener[];
  /** Already listening; only who stands behind the port, or its service's name, changed. */
  readonly update: readonly IngressListener[];
}

/**
 * Compares what is open now, by {@link listenerKey}, with what shall be open.
 * A listener that is the same in both appears nowhere. Of two listeners with one key the first wins.
 */
export function diffTables(
  open: ReadonlyMap<string, IngressListener>,
  wanted: readonly IngressListener[],
): TableDiff {
  const wantedByKey = new Map<string, IngressListener>();
  for (const listener of wanted) {
    const key = listenerKey(listener);
    if (!wantedByKey.has(key)) wantedByKey.set(key, listener);
  }
  const toOpen: IngressListener[] = [];
  const toUpdate: IngressListener[] = [];
  for (const [key, listener] of wantedByKey) {
    const current = open.get(key);
    if (current === undefined) toOpen.push(listener);
    else if (!sameListener(current, listener)) toUpdate.push(listener);
  }
  return { close: [...open.keys()].filter((key) => !wantedByKey.has(key)), open: toOpen, update: toUpdate };
}

/** Whether two listeners of one key do the same. */
export function sameListener(a: IngressListener, b: IngressListener): boolean {
  if (a === b) return true;
  return (
    a.service === b.service &&
    a.stack === b.stack &&
    isDeepStrictEqual(a.traffic, b.traffic) &&
    sameEndpoints(a.endpoints, b.endpoints) &&
    sameEndpoints(a.draining, b.draining)
  );
}

function sameEndpoints(a: IngressListener["endpoints"], b: IngressListener["endpoints"]): boolean {
  return (
    a.length === b.length &&
    a.every((endpoint, index) => {
      const other = b[index];
      return (
        endpoint.id === other?.id &&
        endpoint.address === other.address &&
        endpoint.port === other.port &&
        endpoint.node === other.node &&
        isDeepStrictEqual(endpoint.route, other.route)
      );
    })
  );
}
