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
