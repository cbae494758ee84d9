import { AuditRecord_Kind, BerthError, PeerServiceService, scaleTiming } from "@berth/proto";
import { describeCaller, type RpcHandlers, type RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { ClusterKey } from "../identity/cluster-key.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import type { LeaderRecord } from "../store/election.js";
import type { LeaderComponents } from "./leadership-state.js";

/** Timeout for a peer. A peer that takes longer to respond is overloaded or cut off itself. */
const PEER_TIMEOUT_MS = scaleTiming(400);

export interface PeerHandlerOptions {
  /** Returns whether this server reaches the leader of an epoch. */
  readonly isInContact: (epoch: bigint) => boolean;
  /** Cluster key, which other servers fetch during a rotation. Undefined in the simulation. */
  readonly clusterKey: ClusterKey | undefined;
  /** Rejects for a server that was removed from the cluster, whose certificate only the leader refuses by itself. */
  readonly requireNotRemoved: (serverId: string, signal: AbortSignal) => Promise<void>;
  /** Returns the audit log while this server leads. */
  readonly audit: () => LeaderComponents["audit"] | undefined;
  readonly logger: Logger;
}

/** Returns this server's handlers of the Peer service, which only other servers may call. */
export function peerHandlers({
  isInContact,
  clusterKey,
  requireNotRemoved,
  audit,
  logger,
}: PeerHandlerOptions): RpcHandlers<typeof PeerServiceService> {
  return {
    checkLeader: async ({ epoch }) => ({ reachable: isInContact(BigInt(epoch)) }),
    fetchClusterKey: async ({ id }, { caller, client, signal }) => {
      if (caller.kind === "server") await requireNotRemoved(caller.id, signal);
      const version = clusterKey?.find(id);
      if (version === undefined) {
        throw new BerthError({
          code: "BERTH_NOT_FOUND",
          message: `this server does not have the cluster key ${JSON.stringify(id.slice(0, 64))}`,
        });
      }
      logger.info({ key: id, to: describeCaller(caller), client }, "sent the cluster key to a server");
      return { clusterKey: version.bytes };
    },
    recordRefusedCalls: async ({ method, caller, client, errorCode, count }, { client: server }) => {
      const log = audit();
      if (log === undefined) throw notLeaderError({ reason: "another server leads" });
      const call = { method, caller, client, errorCode, count, forwardedBy: server };
      log.recordRefused({ ...call, kind: AuditRecord_Kind.REFUSED, subjects: [], summary: "" });
      return {};
    },
  };
}

export interface PeerQuery {
  readonly transport: RpcTransport;
  /** Addresses of the other servers. */
  readonly peers: readonly string[];
  readonly leader: LeaderRecord;
}

/**
 * Asks the other servers whether they reach the leader. Returns true when at least one responds and none reaches it.
 *
 * When no peer responds, this server itself is cut off, and the result is false. Without peers, the result is true.
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
  const responses = results.filter((isReachable) => isReachable !== undefined);
  return peers.length === 0 || (responses.length > 0 && !responses.includes(true));
}
