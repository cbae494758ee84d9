import { PeerServiceService, type RpcHandlers, type RpcTransport } from "@berth/proto";
import type { Leader } from "../store/election.js";

/** A server that takes longer to say what it knows is in no state to be asked. */
const ANSWER_TIMEOUT_MS = 400;

/** Whether this server is that leader, or hears it. */
export type HearsLeader = (epoch: bigint) => boolean;

/** The Peer service of every server. */
export function peerHandlers(hears: HearsLeader): RpcHandlers<typeof PeerServiceService> {
  return { hearsLeader: async ({ epoch }) => ({ hears: hears(BigInt(epoch)) }) };
}

export interface AskPeersOptions {
  readonly transport: RpcTransport;
  /** Addresses of the servers to ask. */
  readonly peers: readonly string[];
  readonly leader: Leader;
}

/** Whether any of the other servers hears the leader. Those that do not answer do not count. */
export async function isHeardByPeers(
  { transport, peers, leader }: AskPeersOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const answers = await Promise.all(
    peers.map(async (address) => {
      const connection = transport.connect(PeerServiceService, { address });
      const request = { epoch: Number(leader.epoch) };
      try {
        const { hears } = await connection.calls.hearsLeader(request, {
          signal,
          timeoutMs: ANSWER_TIMEOUT_MS,
        });
        return hears;
      } catch {
        return false;
      } finally {
        connection.close();
      }
    }),
  );
  return answers.some((hears) => hears);
}
