/** What a broken switch or cable of our own takes away goes within one heartbeat or two. */
const WINDOW_MS = 2_000;

/** A switch that restarts or a route that moves is back by then. */
export const FREEZE_MS = 15_000;

/** So many nodes fell silent at once that it may be this server that is cut off. */
export interface Freeze {
  readonly sinceMs: number;
  readonly why: string;
}

export interface Suspicions {
  /** When each node that is suspect now became so. */
  readonly onsetsMs: readonly number[];
  /** Nodes that are not down, suspect ones included. */
  readonly upNodes: number;
  readonly now: number;
}

/**
 * Whether nodes may be held dead. A freeze begins when more than half of the nodes became suspect within one window,
 * and lasts while more than half are; nodes that are lost one after the other, each being replaced before the next one
 * goes, are no such window. A single node is never more than half: there is no place to go without it anyway.
 */
export function nextFreeze(
  current: Freeze | undefined,
  { onsetsMs, upNodes, now }: Suspicions,
): Freeze | undefined {
  if (!isMost(onsetsMs.length, upNodes)) return undefined;
  if (current !== undefined) return current;
  const recent = onsetsMs.filter((onsetMs) => onsetMs >= now - WINDOW_MS).length;
  if (!isMost(recent, upNodes)) return undefined;
  return {
    sinceMs: now,
    why: `${recent} of ${upNodes} nodes fell silent at once: perhaps this server is cut off, so nothing is replaced for ${FREEZE_MS / 1_000} s`,
  };
}

const isMost = (some: number, all: number): boolean => some >= 2 && some > all / 2;

/** The nodes that take no new connections for now, in this leader's memory alone. */
export class Suspects {
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

  /** True when that is news. */
  set(nodeId: string, isSuspect: boolean, now: number): boolean {
    if (isSuspect === this.#onsetMs.has(nodeId)) return false;
    if (isSuspect) this.#onsetMs.set(nodeId, now);
    else this.#onsetMs.delete(nodeId);
    return true;
  }

  /** Thinks the freeze over; true when it began or ended. */
  review(countUp: () => number, now: number): boolean {
    const before = this.#freeze;
    // Most changes are about one node in a cluster that is well: nobody needs to be counted then.
    const isOne = this.#onsetMs.size < 2;
    this.#freeze = isOne
      ? undefined
      : nextFreeze(before, { onsetsMs: [...this.#onsetMs.values()], upNodes: countUp(), now });
    return (before === undefined) !== (this.#freeze === undefined);
  }
}
