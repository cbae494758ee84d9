import { PeerServiceService } from "@berth/proto";
import type { RpcHandlers, RpcTransport } from "@berth/proto/rpc";
import type { LeaderRecord } from "../store/election.js";

/** A peer that takes longer to answer is overloaded or cut off itself. */
const PEER_TIMEOUT_MS = 400;

/** Returns this server's handlers of the Peer service. Other servers ask it whether this server reaches the leader. */
export function peerHandlers(
  isInContact: (epoch: bigint) => boolean,
): RpcHandlers<typeof PeerServiceService> {
  return { checkLeader: async ({ epoch }) => ({ reachable: isInContact(BigInt(epoch)) }) };
}

export interface PeerQuery {
  readonly transport: RpcTransport;
  /** Addresses of the other servers. */
  readonly peers: readonly string[];
  readonly leader: LeaderRecord;
}

/**
 * Asks the other servers whether they reach the leader. Returns true when at least one answers and none reaches it.
 *
 * When no peer answers, this server itself is cut off, and the result is false. Without peers, the result is true.
 */
export async function havePeersLostLeader(
  { transport, peers, leader }: PeerQuery,
  signal: AbortSignal,
): Promise<boolean> {
  const results = await Promise.all(
    peers.map(async (address) => {
      const connection = transport.connect(PeerServiceService, { address });
      const request = { epoch: Number(leader.epoch) };
      try {
        const { reachable } = await connection.calls.checkLeader(request, {
          signal,
          timeoutMs: PEER_TIMEOUT_MS,
        });
        return reachable;
      } catch {
        return undefined; // An unreachable peer does not count.
      } finally {
        connection.close();
      }
    }),
  );
  const answers = results.filter((isReachable) => isReachable !== undefined);
  return peers.length === 0 || (answers.length > 0 && !answers.includes(true));
}
