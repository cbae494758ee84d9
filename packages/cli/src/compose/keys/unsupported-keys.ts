import { type Cursor, keyPlace, readText } from "../tree/cursor.js";
import type { KeyRule } from "../tree/key-table.js";

export const WINDOWS_ONLY = "the key has an effect on Windows only, and berth runs Linux containers";

/** Creates the rule for an unsupported key that the service depends on. Setting the key is an error. */
export function rejectKey<Draft>(message: string): KeyRule<Draft> {
  return (cursor) => cursor.diagnostics.error(keyPlace(cursor), message);
}

/** Creates the rule for an unsupported key that the service does not depend on. Setting the key prints a warning. */
export function ignoreWithWarning<Draft>(message: string): KeyRule<Draft> {
  return (cursor) => cursor.diagnostics.warnIgnored(keyPlace(cursor), message);
}

/** Creates the rule for a key that has no effect in a cluster. Setting the key prints a note with the reason. */
export function ignoreWithNote<Draft>(message: string): KeyRule<Draft> {
  return (cursor) => cursor.diagnostics.warn(keyPlace(cursor), message);
}

/** Creates the rule for a key that is valid and has no effect. */
export function ignoreKey<Draft>(): KeyRule<Draft> {
  return () => {};
}

/** Reads `isolation`. Prints a note that isolation modes exist on Windows only, unless the mode is the default. */
export function ignoreIsolation(cursor: Cursor): void {
  if (readText(cursor) !== "default") cursor.diagnostics.warn(keyPlace(cursor), WINDOWS_ONLY);
}
