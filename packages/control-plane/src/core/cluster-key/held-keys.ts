import type { ClusterKeyState } from "@berth/proto";

/** The IDs of the cluster keys that a server has stored. The current key encrypts the server's own files. */
export interface HeldKeyIds {
  readonly current: string;
  /** ID of the next key. Undefined outside of a rotation. */
  readonly next: string | undefined;
}

/** The next step with which a server catches up with the cluster's keys. After a crash, a step is repeated. */
export type HeldKeyStep =
  | { readonly kind: "none" }
  /** Fetch a key from another server, and store it as the next key. */
  | { readonly kind: "fetch"; readonly id: string }
  /** Make the next key the current one, and delete the earlier key. */
  | { readonly kind: "promote" }
  /** Delete the next key, because the cluster does not use it. */
  | { readonly kind: "drop" };

/**
 * Plans how a server catches up with the cluster's keys. A server that missed one or more rotations first gets the
 * current key, which decrypts all records, or all that are not re-encrypted yet.
 */
export function planHeldKeys(state: ClusterKeyState | undefined, held: HeldKeyIds): HeldKeyStep {
  const current = state?.currentId ?? held.current;
  const next = state?.nextId ?? "";
  if (held.current !== current) {
    return held.next === current ? { kind: "promote" } : { kind: "fetch", id: current };
  }
  if (next === "") return held.next === undefined ? { kind: "none" } : { kind: "drop" };
  return held.next === next ? { kind: "none" } : { kind: "fetch", id: next };
}
