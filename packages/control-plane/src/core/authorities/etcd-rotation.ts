import { type Authority, type EtcdAuthorities, Authority_State as State } from "@berth/proto";

// etcd reads the CA certificates that it trusts only when it starts, and its own certificate for each connection. So the
// etcds restart twice during a rotation of their authority, one at a time. Each step is one transaction, and the next
// leader continues where the last one stopped:
//
//   announced  The etcds restart, until all of them trust the new authority.
//   retiring   The servers issue their certificates for etcd with the new authority.
//   removing   The etcds restart, until none of them trusts the earlier authority. Then its record is deleted.

/** The certificates of a server's etcd member, as the server has registered them. */
export interface EtcdTrust {
  /** Fingerprint of the authority that has issued the server's certificate for etcd. */
  readonly issuer: string;
  /** Fingerprints of the authorities that its etcd read when it started, and trusts since then. */
  readonly trusted: readonly string[];
}

/** A server of the cluster, running or not. */
export interface EtcdServer {
  readonly id: string;
  /** "host:port", or the hostname of a server that has never run. */
  readonly name: string;
  /**
   * Certificates of the server's etcd. Undefined for a server that does not run, or whose release does not register
   * them.
   */
  readonly trust: EtcdTrust | undefined;
}

/** The next step of a rotation. */
export type EtcdRotationStep =
  | { readonly kind: "none" }
  /** `servers` have not applied the record yet, or are not running. */
  | { readonly kind: "wait"; readonly servers: readonly string[] }
  /** Store a record that makes a server restart its etcd. */
  | { readonly kind: "restart"; readonly record: EtcdAuthorities }
  /** Store the record with the next states of the authorities. */
  | { readonly kind: "advance"; readonly record: EtcdAuthorities };

/**
 * Plans the next step of a rotation. All servers of the cluster must take part, so lost servers have to be removed.
 *
 * @param leaderId the server whose etcd restarts last, because the leader uses it
 */
export function planEtcdRotation(
  record: EtcdAuthorities | undefined,
  servers: readonly EtcdServer[],
  leaderId: string,
  nowMs: number,
): EtcdRotationStep {
  if (record === undefined || !isRotating(record)) return { kind: "none" };
  // Without any server, the records of the servers have not been written yet.
  if (servers.length === 0) return { kind: "wait", servers: [] };
  const behind = serversBehind(record, servers);
  const [first] = behind;
  if (first === undefined) return { kind: "advance", record: advance(record, nowMs) };
  // The running members must keep a quorum, so none restarts while another server is down.
  const away = servers.filter(({ trust }) => trust === undefined);
  if (away.length > 0) return wait(away);
  if (!isRestarting(record)) return wait(behind);
  const current = behind.find(({ id }) => id === record.restartingServer);
  if (current !== undefined) return wait([current]);
  const next = behind.find(({ id }) => id !== leaderId) ?? first;
  return { kind: "restart", record: { ...record, restartingServer: next.id } };
}

/** Returns the servers that a rotation waits for. */
export function serversBehind(
  { authorities }: EtcdAuthorities,
  servers: readonly EtcdServer[],
): readonly EtcdServer[] {
  if (!isRestarting({ authorities })) {
    const issuer = authorities.find(({ state }) => state === State.ISSUING)?.fingerprint;
    return servers.filter(({ trust }) => trust?.issuer !== issuer);
  }
  const requiredFingerprints = trustedAuthorities({ authorities }).map(({ fingerprint }) => fingerprint);
  return servers.filter(
    ({ trust }) => trust === undefined || !isSameSet(trust.trusted, requiredFingerprints),
  );
}

/** Returns the authorities that etcd and its clients must trust. */
export function trustedAuthorities({
  authorities,
}: Pick<EtcdAuthorities, "authorities">): readonly Authority[] {
  return authorities.filter(({ state }) => state !== State.REMOVING);
}

export function isRotating({ authorities }: Pick<EtcdAuthorities, "authorities">): boolean {
  return authorities.length > 1;
}

/** Returns the record at the start of a rotation. */
export function startedEtcdRotation(current: Authority, next: Authority): EtcdAuthorities {
  return {
    authorities: [
      { ...current, state: State.ISSUING },
      { ...next, state: State.ANNOUNCED },
    ],
    restartingServer: "",
  };
}

/** Returns the record after the cancellation of a rotation. Some members may already trust the announced authority. */
export function canceledEtcdRotation(record: EtcdAuthorities, nowMs: number): EtcdAuthorities {
  return withStates(record, nowMs, new Map([[State.ANNOUNCED, State.REMOVING]]));
}

/** Returns whether two lists without duplicates have the same elements. */
export function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value) => b.includes(value));
}

/** Returns whether etcd members must restart to read changed authorities. */
function isRestarting({ authorities }: Pick<EtcdAuthorities, "authorities">): boolean {
  return authorities.some(({ state }) => state === State.ANNOUNCED || state === State.REMOVING);
}

function advance(record: EtcdAuthorities, nowMs: number): EtcdAuthorities {
  const states = new Set(record.authorities.map(({ state }) => state));
  if (states.has(State.ANNOUNCED)) {
    const next = new Map([
      [State.ANNOUNCED, State.ISSUING],
      [State.ISSUING, State.RETIRING],
    ]);
    return withStates(record, nowMs, next);
  }
  if (states.has(State.RETIRING)) {
    return withStates(record, nowMs, new Map([[State.RETIRING, State.REMOVING]]));
  }
  return { authorities: [...trustedAuthorities(record)], restartingServer: "" };
}

function withStates(
  { authorities }: EtcdAuthorities,
  nowMs: number,
  next: ReadonlyMap<State, State>,
): EtcdAuthorities {
  return {
    authorities: authorities.map((authority) => {
      const state = next.get(authority.state);
      return state === undefined ? authority : { ...authority, state, stateSinceMs: nowMs };
    }),
    restartingServer: "",
  };
}

function wait(servers: readonly EtcdServer[]): EtcdRotationStep {
  return { kind: "wait", servers: servers.map(({ name }) => name) };
}
