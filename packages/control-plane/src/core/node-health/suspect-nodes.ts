/** A freeze starts when nodes become suspect within this time. A broken switch silences all within two heartbeats. */
const WINDOW_MS = 2_000;

/** During a freeze, no node is declared down for this long. A restarted switch is back within this time. */
export const FREEZE_MS = 15_000;

/**
 * Most nodes became suspect at once, so the leader itself may be cut off. For the first `FREEZE_MS` of a freeze, the
 * leader declares no node down. After that, each node needs confirmation of its own until the freeze ends.
 */
export interface Freeze {
  readonly sinceMs: number;
  readonly reason: string;
}

export interface Suspicions {
  /** When each suspect node became suspect. */
  readonly onsetsMs: readonly number[];
  /** Number of nodes that are not down, suspect ones included. */
  readonly upNodes: number;
  readonly now: number;
}

/**
 * Starts, keeps or ends a freeze.
 *
 * A freeze starts when more than half of the nodes became suspect within one window, and ends when no more than half are
 * suspect. Nodes that are lost one after the other do not start one. A single suspect node never does: in a cluster of
 * one node, its tasks could not move anyway.
 */
export function nextFreeze(
  current: Freeze | undefined,
  { onsetsMs, upNodes, now }: Suspicions,
): Freeze | undefined {
  if (!isMajority(onsetsMs.length, upNodes)) return undefined;
  if (current !== undefined) return current;
  const recent = onsetsMs.filter((onsetMs) => onsetMs >= now - WINDOW_MS).length;
  if (!isMajority(recent, upNodes)) return undefined;
  return {
    sinceMs: now,
    reason: `${recent} of ${upNodes} nodes fell silent at once: this server may be cut off, so no task is replaced for ${FREEZE_MS / 1_000} s`,
  };
}

const isMajority = (some: number, all: number): boolean => some >= 2 && some > all / 2;

/** The suspect nodes, which get no new connections, and the freeze that they cause. In the leader's memory only. */
export class SuspectNodes {
  readonly #onsetMs = new Map<string, number>();
  #freeze: Freeze | undefined;

  get freeze(): Freeze | undefined {
    return this.#freeze;
  }

  get nodeIds(): Iterable<string> {
    return this.#onsetMs.keys();
  }

  has(nodeId: string): boolean {
    return this.#onsetMs.has(nodeId);
  }

  /** Marks or unmarks a node. Returns whether this changed anything. */
  set(nodeId: string, isSuspect: boolean, now: number): boolean {
    if (isSuspect === this.#onsetMs.has(nodeId)) return false;
    if (isSuspect) this.#onsetMs.set(nodeId, now);
    else this.#onsetMs.delete(nodeId);
    return true;
  }

  /** Reevaluates the freeze. Returns whether it started or ended. Counts the nodes only when it has to. */
  updateFreeze(countUpNodes: () => number, now: number): boolean {
    const before = this.#freeze;
    this.#freeze =
      this.#onsetMs.size < 2
        ? undefined
        : nextFreeze(before, { onsetsMs: [...this.#onsetMs.values()], upNodes: countUpNodes(), now });
    return (before === undefined) !== (this.#freeze === undefined);
  }
}
