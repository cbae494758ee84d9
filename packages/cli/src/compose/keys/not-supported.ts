import { keyPlace } from "../tree/cursor.js";
import type { KeyRule } from "./service-draft.js";

/** A key that berth cannot do yet and without which the service would be wrong. */
export function rejectKey<Draft>(reason: string): KeyRule<Draft> {
  return (cursor) => cursor.diagnostics.error(keyPlace(cursor), `not supported yet: ${reason}`);
}

/** A key that berth cannot do yet; the service works without it, if not as well. */
export function ignoreWithWarning<Draft>(consequence: string): KeyRule<Draft> {
  return (cursor) => cursor.diagnostics.warn(keyPlace(cursor), `not supported yet: ${consequence}`);
}

/** A key that means nothing to a cluster: it is for building, for a terminal, or for people. */
export function ignoreKey<Draft>(): KeyRule<Draft> {
  return () => {};
}
