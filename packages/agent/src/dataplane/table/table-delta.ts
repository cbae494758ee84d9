import { type IngressListener, type IngressTable, listenerKey } from "./ingress-table.js";
import { diffTables } from "./table-diff.js";

/** What makes one table of another. */
export interface TableDelta {
  /** The version of the table that it changes. */
  readonly base: number;
  readonly version: number;
  readonly set: readonly IngressListener[];
  /** Keys of listeners. */
  readonly removed: readonly string[];
}

/** Listeners that are the same object are not looked into: of a large table that is most of the work. */
export function deltaOf(from: IngressTable, to: IngressTable): TableDelta {
  const current = new Map<string, IngressListener>();
  for (const listener of from.listeners) {
    const key = listenerKey(listener);
    if (!current.has(key)) current.set(key, listener);
  }
  const { close, open, update } = diffTables(current, to.listeners);
  return { base: from.version, version: to.version, set: [...open, ...update], removed: close };
}

/** @throws Error when the table is not the one that the delta was made for */
export function withDelta(table: IngressTable, { base, version, set, removed }: TableDelta): IngressTable {
  if (table.version !== base) throw new Error(`table ${table.version} serves, and not ${base}`);
  const listeners = new Map(table.listeners.map((each) => [listenerKey(each), each]));
  for (const key of removed) listeners.delete(key);
  for (const listener of set) listeners.set(listenerKey(listener), listener);
  return { version, listeners: [...listeners.values()] };
}
