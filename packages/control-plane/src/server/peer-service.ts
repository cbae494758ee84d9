import { PeerServiceService } from "@berth/proto";
import type { RpcHandlers, RpcTransport } from "@berth/proto/rpc";
import type { Leader } from "../store/election.js";

/** A server that takes longer to say what it knows is in no state to be asked. */
const ANSWER_TIMEOUT_MS = 400;

/** Whether this server is that leader, or hears it. */
export type CheckLeader = (epoch: bigint) => boolean;

/** The Peer service of every server. */
export function peerHandlers(hears: CheckLeader): RpcHandlers<typeof PeerServiceService> {
  return { checkLeader: async ({ epoch }) => ({ reachable: hears(BigInt(epoch)) }) };
}

export interface AskPeersOptions {
  readonly transport: RpcTransport;
  /** Addresses of the servers to ask. */
  readonly peers: readonly string[];
  readonly leader: Leader;
}

/**
 * Whether the other servers do not hear the leader either. If none of them answers, this server is the one that is cut
 * off; only where there are no others its own word is enough.
 */
export async function isMissedByPeers(
  { transport, peers, leader }: AskPeersOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const answers = await Promise.all(
    peers.map(async (address) => {
      const connection = transport.connect(PeerServiceService, { address });
      const request = { epoch: Number(leader.epoch) };
      try {
        const { reachable: hears } = await connection.calls.checkLeader(request, {
          signal,
          timeoutMs: ANSWER_TIMEOUT_MS,
        });
        return [hears];
      } catch {
        return [];
      } finally {
        connection.close();
      }
    }),
  );
  const given = answers.flat();
  return peers.length === 0 || (given.length > 0 && !given.includes(true));
}
