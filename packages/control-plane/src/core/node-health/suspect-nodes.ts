/** Time within which nodes must become suspect to start a failover pause. If a switch fails, this takes two heartbeats. */
const WINDOW_MS = 2_000;

/** Duration of a failover pause, in which no node is declared down. A switch restarts within this time. */
export const FAILOVER_PAUSE_MS = 15_000;

/**
 * A period in which the leader itself may be cut off, because most nodes became suspect at once.
 *
 * For the first `FAILOVER_PAUSE_MS`, the leader declares no node down. Afterwards, it only declares nodes down whose
 * silence voters have confirmed.
 */
export interface FailoverPause {
  readonly sinceMs: number;
  readonly reason: string;
}

/** The observations that decide about a failover pause. */
export interface SuspectObservations {
  /** Time when each suspect node became suspect. */
  readonly onsetsMs: readonly number[];
  /** Number of nodes that are not down, including suspect nodes. */
  readonly upNodes: number;
  readonly nowMs: number;
}

/**
 * Starts, keeps or ends a failover pause.
 *
 * A failover pause starts when more than half of the nodes become suspect within one window. It ends when at most half
 * are suspect. Nodes that are lost one after another do not start a failover pause. A single suspect node never starts
 * one, because the tasks of a single node cannot move.
 */
export function nextFailoverPause(
  current: FailoverPause | undefined,
  { onsetsMs, upNodes, nowMs }: SuspectObservations,
): FailoverPause | undefined {
  if (!isMajority(onsetsMs.length, upNodes)) return undefined;
  if (current !== undefined) return current;
  const recent = onsetsMs.filter((onsetMs) => onsetMs >= nowMs - WINDOW_MS).length;
  if (!isMajority(recent, upNodes)) return undefined;
  return {
    sinceMs: nowMs,
    reason: `${recent} of ${upNodes} nodes became unreachable at once: this server may be cut off, so no task is replaced for ${FAILOVER_PAUSE_MS / 1_000} s`,
  };
}

function isMajority(some: number, all: number): boolean {
  return some >= 2 && some > all / 2;
}

/** The suspect nodes, which get no new connections, and the failover pause that they cause. Only in the leader's memory. */
export class SuspectNodes {
  readonly #onsetMs = new Map<string, number>();
  #failoverPause: FailoverPause | undefined;

  get failoverPause(): FailoverPause | undefined {
    return this.#failoverPause;
  }

  get nodeIds(): Iterable<string> {
    return this.#onsetMs.keys();
  }

  has(nodeId: string): boolean {
    return this.#onsetMs.has(nodeId);
  }

  /** Marks or unmarks a node as suspect. Returns whether its mark has changed. */
  set(nodeId: string, isSuspect: boolean, nowMs: number): boolean {
    if (isSuspect === this.#onsetMs.has(nodeId)) return false;
    if (isSuspect) {
      this.#onsetMs.set(nodeId, nowMs);
    } else {
      this.#onsetMs.delete(nodeId);
    }
    return true;
  }

  /** Updates the failover pause. Returns whether it started or ended. Counts the nodes only if at least two are suspect. */
  updateFailoverPause(countUpNodes: () => number, nowMs: number): boolean {
    const before = this.#failoverPause;
    this.#failoverPause =
      this.#onsetMs.size < 2
        ? undefined
        : nextFailoverPause(before, {
            onsetsMs: [...this.#onsetMs.values()],
            upNodes: countUpNodes(),
            nowMs,
          });
    return (before === undefined) !== (this.#failoverPause === undefined);
  }
}
