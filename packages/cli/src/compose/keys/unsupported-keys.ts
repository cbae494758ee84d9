import { keyPlace } from "../tree/cursor.js";
import type { KeyRule } from "../tree/key-table.js";

/** Rejects a key that berth does not support and without which the service would not work. */
export function rejectKey<Draft>(feature: string): KeyRule<Draft> {
  return (cursor) => cursor.diagnostics.error(keyPlace(cursor), `not supported yet: ${feature}`);
}

/** Ignores a key that berth does not support, with a warning. The service works without it. */
export function ignoreWithWarning<Draft>(consequence: string): KeyRule<Draft> {
  return (cursor) => cursor.diagnostics.warn(keyPlace(cursor), `not supported yet: ${consequence}`);
}

/** Ignores a key that has no meaning in a cluster, for example one about building or about the terminal. */
export function ignoreKey<Draft>(): KeyRule<Draft> {
  return () => {};
}
