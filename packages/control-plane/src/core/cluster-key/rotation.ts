import { type ClusterKeyState, ClusterKeyState_Phase as Phase } from "@berth/proto";

// The state of a rotation of the cluster key is a record, so each step is one transaction, and the next leader continues
// where the last one stopped:
//
//   distributing  Servers get the next key from each other, and store it. Nothing is encrypted with it yet.
//   sealing       All servers have both keys. The leader encrypts with the next one, and encrypts old records again.
//   none          The next key is the current one. Servers forget the earlier one.

/** A server and the cluster keys that it has stored. */
export interface ServerKeys {
  /** "host:port" */
  readonly address: string;
  /** IDs of the keys. Undefined for a server of a release that does not list them. */
  readonly keys: readonly string[] | undefined;
}

/** The number of records that are encrypted with the next key. */
export interface SealingProgress {
  readonly sealed: number;
  readonly total: number;
}

/** The next step of a rotation. */
export type KeyRotationStep =
  | { readonly kind: "none" }
  /** `servers` do not have the next key yet. */
  | { readonly kind: "wait"; readonly servers: readonly string[] }
  /** No server has the next key, so the rotation cannot continue. */
  | { readonly kind: "abandon" }
  /** Encrypt with the next key from now on. */
  | { readonly kind: "seal" }
  /** Re-encrypt records; when none is left, make the next key the current one. */
  | { readonly kind: "seal-again" };

/**
 * Time without the next key after which a rotation is abandoned. Longer than a restart of the only server with this
 * key. The server's registration in etcd expires after 10 s.
 */
export const ABANDON_AFTER_MS = 60_000;

/** Plans the next step of a rotation of the cluster key. */
export function planKeyRotation(
  state: ClusterKeyState | undefined,
  servers: readonly ServerKeys[],
  nowMs: number,
): KeyRotationStep {
  if (state === undefined || state.phase === Phase.UNSPECIFIED) return { kind: "none" };
  if (state.phase === Phase.SEALING) return { kind: "seal-again" };
  const waitingServers = serversWithout(state.nextId, servers);
  // Without any server, the list of servers has not been loaded yet.
  if (servers.length > 0 && waitingServers.length === 0) return { kind: "seal" };
  const isLost = waitingServers.length === servers.length && nowMs >= state.phaseSinceMs + ABANDON_AFTER_MS;
  return isLost ? { kind: "abandon" } : { kind: "wait", servers: waitingServers };
}

/** Returns the addresses of the servers that have not stored a key. */
export function serversWithout(keyId: string, servers: readonly ServerKeys[]): readonly string[] {
  return servers.filter(({ keys = [] }) => !keys.includes(keyId)).map(({ address }) => address);
}

/** Returns the addresses of the servers that have any other key. */
export function serversWithOthers(keyId: string, servers: readonly ServerKeys[]): readonly string[] {
  return servers.filter(({ keys = [] }) => keys.some((id) => id !== keyId)).map(({ address }) => address);
}

/** Returns the state at the start of a rotation. */
export function startedRotation(currentId: string, nextId: string, nowMs: number): ClusterKeyState {
  return { currentId, nextId, phase: Phase.DISTRIBUTING, phaseSinceMs: nowMs };
}

/** Returns the state in which records are encrypted with the next key. */
export function sealingState(state: ClusterKeyState, nowMs: number): ClusterKeyState {
  return { ...state, phase: Phase.SEALING, phaseSinceMs: nowMs };
}

/** Returns the state after a rotation. */
export function finishedRotation({ nextId }: ClusterKeyState, nowMs: number): ClusterKeyState {
  return { currentId: nextId, nextId: "", phase: Phase.UNSPECIFIED, phaseSinceMs: nowMs };
}

/** Returns the state after a rotation that was abandoned. */
export function abandonedRotation(state: ClusterKeyState, nowMs: number): ClusterKeyState {
  return { ...state, nextId: "", phase: Phase.UNSPECIFIED, phaseSinceMs: nowMs };
}

/** Returns the ID of the key that encrypts records, or undefined before the first rotation. */
export function sealingKeyId(state: ClusterKeyState | undefined): string | undefined {
  if (state === undefined) return undefined;
  return state.phase === Phase.SEALING ? state.nextId : state.currentId;
}
