import { type Authority, Authority_State as State } from "@berth/proto";

// The authorities of a cluster and their states are records, so each step of a rotation is one transaction, and the next
// leader continues where the last one stopped:
//
//   announced  Servers trust it. Once all of them do, it issues certificates, and the one before retires.
//   issuing    Exactly one.
//   retiring   Trusted until the last certificate that it has issued cannot be used any more, not even for a renewal.

/** A server and the authorities that it trusts. */
export interface ServerTrust {
  /** "host:port" */
  readonly address: string;
  /** Fingerprints of the authorities that the server trusts. */
  readonly authorities: readonly string[];
}

export interface RotationTiming {
  /** Minimum time for which an authority is announced. A server that starts meanwhile may not be listed yet. */
  readonly announceMs: number;
  /** Time for which an authority stays trusted after its last certificate. */
  readonly retirementMs: number;
}

/** The next step of a rotation. */
export interface RotationPlan {
  /** Authorities with their new state. */
  readonly changed: readonly Authority[];
  /** Fingerprints of the authorities to remove. */
  readonly removed: readonly string[];
  /** Time of the next plan, in ms since the epoch, if nothing changes before. */
  readonly requeueAtMs: number | undefined;
}

/** Plans the next step of a rotation. Without a rotation, the plan is empty. */
export function planRotation(
  authorities: Iterable<Authority>,
  servers: readonly ServerTrust[],
  timing: RotationTiming,
  nowMs: number,
): RotationPlan {
  const all = [...authorities];
  const announced = all.find(({ state }) => state === State.ANNOUNCED);
  const settledMs = announced && announced.createdAtMs + timing.announceMs;
  const isSettled = settledMs !== undefined && nowMs >= settledMs;
  // Without any server, the list of servers has not been loaded yet.
  const isTrusted =
    announced !== undefined && servers.length > 0 && untrustingServers(announced, servers).length === 0;
  const removalTimes = all.flatMap((authority) => removalMs(authority, timing) ?? []);
  const removed = all.filter((authority) => (removalMs(authority, timing) ?? Infinity) <= nowMs);
  const times = removalTimes.filter((ms) => ms > nowMs);
  if (settledMs !== undefined && !isSettled) times.push(settledMs);
  return {
    changed: announced !== undefined && isSettled && isTrusted ? switchIssuer(announced, all, nowMs) : [],
    removed: removed.map(({ fingerprint }) => fingerprint),
    requeueAtMs: times.length === 0 ? undefined : Math.min(...times),
  };
}

/** Returns the addresses of the servers that do not trust an authority. */
export function untrustingServers(
  { fingerprint }: Pick<Authority, "fingerprint">,
  servers: readonly ServerTrust[],
): readonly string[] {
  return servers.filter((server) => !server.authorities.includes(fingerprint)).map(({ address }) => address);
}

/** Returns when a retiring authority is removed, or undefined for other authorities. */
export function removalMs(
  { state, stateSinceMs }: Pick<Authority, "state" | "stateSinceMs">,
  { retirementMs }: Pick<RotationTiming, "retirementMs">,
): number | undefined {
  return state === State.RETIRING ? stateSinceMs + retirementMs : undefined;
}

function switchIssuer(next: Authority, all: readonly Authority[], nowMs: number): readonly Authority[] {
  const retiring = all.filter(({ state }) => state === State.ISSUING);
  return [
    { ...next, state: State.ISSUING, stateSinceMs: nowMs },
    ...retiring.map((authority) => ({ ...authority, state: State.RETIRING, stateSinceMs: nowMs })),
  ];
}
