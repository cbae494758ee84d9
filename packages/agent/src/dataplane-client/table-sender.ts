import { isDeepStrictEqual } from "node:util";
import type { ChangeListeners, PublishedListener } from "@berth/proto";
import type { ApplyResult } from "../dataplane/table/ingress-table.js";
import type { IngressSession } from "./ingress-session.js";
import type { ListenerTable } from "./ingress-table.js";

/** Sends listener tables to the ingress process. Sends only the changes since the last table of the same session. */
export class TableSender {
  readonly #sentTables = new WeakMap<IngressSession, ListenerTable>();

  /** Sends a table. Resolves when the process serves it. Sends the whole table when the process refuses the changes. */
  async send(session: IngressSession, table: ListenerTable): Promise<ApplyResult> {
    const lastTable = this.#sentTables.get(session);
    this.#sentTables.delete(session);
    const changed = lastTable && (await sendChanges(session, lastTable, table));
    const result = changed ?? (await sendWholeTable(session, table));
    this.#sentTables.set(session, table);
    return result;
  }
}

/** Returns undefined if the process does not apply the changes, for example because it uses another table. */
function sendChanges(
  session: IngressSession,
  from: ListenerTable,
  to: ListenerTable,
): Promise<ApplyResult | undefined> {
  return session
    .request({ $case: "changeListeners", value: changesBetween(from, to) }, "applied")
    .catch(() => undefined);
}

function sendWholeTable(
  session: IngressSession,
  { version, listeners }: ListenerTable,
): Promise<ApplyResult> {
  const value = { version, listeners: [...listeners] };
  return session.request({ $case: "applyListeners", value }, "applied");
}

/**
 * Returns the listeners that differ between two tables. Unchanged listeners usually are the same objects, so the
 * comparison of a large table is cheap.
 */
function changesBetween(from: ListenerTable, to: ListenerTable): ChangeListeners {
  const removed = new Map(from.listeners.map((listener) => [keyOf(listener), listener]));
  const set: PublishedListener[] = [];
  for (const listener of to.listeners) {
    const key = keyOf(listener);
    const previous = removed.get(key);
    removed.delete(key);
    if (previous !== listener && !isDeepStrictEqual(previous, listener)) set.push(listener);
  }
  return { base: from.version, version: to.version, set, removedKeys: [...removed.keys()] };
}

function keyOf({ entry }: PublishedListener): string {
  return entry?.key ?? "";
}
