/** Key that a JavaScript object cannot hold, so specs and their JSON would lose it. */
const RESERVED_KEY = "__proto__";

/** Returns why a text cannot be a key, or undefined for all texts but one. */
export function reservedKeyProblem(key: string): string | undefined {
  return key === RESERVED_KEY ? `${JSON.stringify(key)} cannot be a key; use another name` : undefined;
}
