import type { ClusterKeyState } from "@berth/proto";

/** The ids of the cluster keys that a server has stored. Its own files are encrypted with the current one. */
export interface HeldKeyIds {
  readonly current: string;
  /** Undefined outside of a rotation. */
  readonly next: string | undefined;
}

/** The next step of a server toward the keys that the cluster uses. A crash repeats a step. */
export type HeldKeyStep =
  | { readonly kind: "none" }
  /** Get a key from another server, and store it as the next one, instead of another next one. */
  | { readonly kind: "fetch"; readonly id: string }
  /** Make the next key the current one, and forget the one before. */
  | { readonly kind: "promote" }
  /** Forget the next key, which the cluster does not use. */
  | { readonly kind: "drop" };

/**
 * Plans how a server follows the cluster. A server that was off for one rotation or several first gets the current key,
 * which decrypts all records, or those that have not been encrypted again yet.
 */
export function planHeldKeys(state: ClusterKeyState | undefined, held: HeldKeyIds): HeldKeyStep {
  const current = state?.currentId ?? held.current;
  const next = state?.nextId ?? "";
  if (held.current !== current)
    return held.next === current ? { kind: "promote" } : { kind: "fetch", id: current };
  if (next === "") return held.next === undefined ? { kind: "none" } : { kind: "drop" };
  return held.next === next ? { kind: "none" } : { kind: "fetch", id: next };
}
