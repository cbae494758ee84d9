/** Maximum number of voters. Five suffice in a cluster of any size. */
const MAX_PEERS = 5;

/**
 * Number of peers that can vote without the leader. With fewer, the leader's own probe counts as well, because a single
 * wrong peer could not be outvoted.
 */
const ENOUGH_PEERS = 3;

/** The voters of a probe round. */
export interface ProbeVoters {
  readonly peers: readonly string[];
  /** Whether the leader's own probe has a vote. */
  readonly includesServer: boolean;
}

/** The votes of a probe round. Voters that have not responded only count in `asked`. */
export interface ProbeVotes {
  readonly asked: number;
  readonly silent: number;
  readonly alive: number;
}

/** State of a host's kernel according to the voters, regardless of its agent. */
export type HostEvidence = "silent" | "lives" | "unknown";

export const NO_VOTES: ProbeVotes = { asked: 0, silent: 0, alive: 0 };

/**
 * Chooses five or three of the live peers at random. With fewer than three, chooses all of them and the leader.
 *
 * In a cluster of three nodes with one silent node, two of the leader and the two peers decide. In a cluster of two, the
 * leader and the peer must agree. Without a peer, the leader decides alone.
 */
export function chooseVoters(livePeers: readonly string[], random: () => number): ProbeVoters {
  if (livePeers.length < ENOUGH_PEERS) return { peers: livePeers, includesServer: true };
  const count = livePeers.length >= MAX_PEERS ? MAX_PEERS : ENOUGH_PEERS;
  const pool = [...livePeers];
  const peers: string[] = [];
  while (peers.length < count) {
    const index = Math.floor(random() * pool.length);
    peers.push(...pool.splice(index, 1));
  }
  return { peers, includesServer: false };
}

/** Returns whether at least two voters were asked and none reached the host. Stronger than a majority. */
export function isUnanimous({ asked, silent }: ProbeVotes): boolean {
  return asked >= 2 && silent === asked;
}

/** Evaluates the votes. One response proves that a host is alive, unless most voters cannot reach it (a partition). */
export function evaluateVotes({ asked, silent, alive }: ProbeVotes): HostEvidence {
  if (silent > asked / 2) return "silent";
  return alive > 0 ? "lives" : "unknown";
}
