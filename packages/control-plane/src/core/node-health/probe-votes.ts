/** Asking more changes the answer no more. */
const MAX_PEERS = 5;

/** Fewer peers than this cannot outvote one that is wrong: the server's own probe is a vote then. */
const ENOUGH_PEERS = 3;

/** Who is asked whether a host that fell silent can be reached. */
export interface ProbeVoters {
  readonly peers: readonly string[];
  /** The server's own probe counts, too. */
  readonly includesServer: boolean;
}

/** What the witnesses have said so far. */
export interface ProbeVotes {
  readonly asked: number;
  readonly silent: number;
  readonly alive: number;
}

/** What is known of a host at kernel level, however its agent is. */
export type HostEvidence = "silent" | "lives" | "unknown";

export const NO_VOTES: ProbeVotes = { asked: 0, silent: 0, alive: 0 };

/**
 * Of the other live nodes five or three, at random; of fewer all, with the server. So in a cluster of three, where one
 * fell silent, two of {server, peer, peer} decide; in a cluster of two the server and the peer must agree; alone, the
 * server decides.
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

/** Whether several were asked and none of them reaches the host: a round that speaks more clearly than a majority. */
export function isUnanimous({ asked, silent }: ProbeVotes): boolean {
  return asked >= 2 && silent === asked;
}

/** One answer proves that a host lives, unless most of those asked cannot reach it: it is cut off from them then. */
export function evidenceOf({ asked, silent, alive }: ProbeVotes): HostEvidence {
  if (silent > asked / 2) return "silent";
  return alive > 0 ? "lives" : "unknown";
}
