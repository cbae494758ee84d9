import { isDeepStrictEqual } from "node:util";
import { type IngressListener, type IngressTable, listenerKey } from "./ingress-table.js";

/** The difference between two versions of the table. */
export interface TableChange {
  /** Version of the table that the change applies to. */
  readonly base: number;
  readonly version: number;
  /** Listeners to add or replace. */
  readonly set: readonly IngressListener[];
  /** Keys of listeners to remove. */
  readonly removed: readonly string[];
}

/**
 * Returns the table with the change applied.
 *
 * @throws Error if the change applies to another version
 */
export function applyChange(table: IngressTable, { base, version, set, removed }: TableChange): IngressTable {
  if (table.version !== base) {
    throw new Error(`change applies to table ${base}, but table ${table.version} is in use`);
  }
  const listeners = new Map(table.listeners.map((listener) => [listenerKey(listener), listener]));
  for (const key of removed) listeners.delete(key);
  for (const listener of set) listeners.set(listenerKey(listener), listener);
  return { version, listeners: [...listeners.values()] };
}

/** The changes of the open listeners that a new table requires. */
export interface SocketChanges {
  readonly close: readonly string[];
  readonly open: readonly IngressListener[];
  /** Listeners whose socket stays open and whose endpoints, rules or service name changed. */
  readonly update: readonly IngressListener[];
}

/**
 * Compares the open listeners, by {@link listenerKey}, with the desired ones. Unchanged listeners are in no list. When
 * two desired listeners have the same key, the first one is used.
 */
export function diffListeners(
  open: ReadonlyMap<string, IngressListener>,
  desired: readonly IngressListener[],
): SocketChanges {
  const desiredByKey = new Map<string, IngressListener>();
  for (const listener of desired) {
    const key = listenerKey(listener);
    if (!desiredByKey.has(key)) desiredByKey.set(key, listener);
  }
  const toOpen: IngressListener[] = [];
  const toUpdate: IngressListener[] = [];
  for (const [key, listener] of desiredByKey) {
    const current = open.get(key);
    if (current === undefined) toOpen.push(listener);
    else if (current !== listener && !isDeepStrictEqual(current, listener)) toUpdate.push(listener);
  }
  return { close: [...open.keys()].filter((key) => !desiredByKey.has(key)), open: toOpen, update: toUpdate };
}
