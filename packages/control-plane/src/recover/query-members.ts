import { isBerthError, PeerServiceService } from "@berth/proto";
import type { RpcTransport } from "@berth/proto/rpc";
import type { MemberResponse, QueriedMember } from "../core/membership/recovery.js";
import { clientUrl, MEMBER_PORTS, peerUrl } from "../store/embedded/cluster.js";
import { EtcdHttpClient } from "../store/embedded/etcd-http.js";
import { EtcdStore } from "../store/etcd/etcd-store.js";
import type { EtcdTls } from "../store/etcd-tls.js";

/** Timeout of a query. A running host responds within a round trip, a busy one later. */
const TIMEOUT_MS = 5_000;

const DEFAULT_SERVER_PORT = 7400;

export interface QueryMembersOptions {
  /** IP addresses of the other members. */
  readonly addresses: readonly string[];
  /** "host:port" of the known servers. */
  readonly servers: readonly string[];
  readonly tls: EtcdTls;
  readonly transport: RpcTransport;
}

/** Checks whether the etcd and the server at each address are running. */
export async function queryMembers(
  { addresses, servers, tls, transport }: QueryMembersOptions,
  signal: AbortSignal,
): Promise<readonly QueriedMember[]> {
  const http = new EtcdHttpClient(tls);
  try {
    return await Promise.all(
      addresses.map(async (address) => {
        const host = new URL(clientUrl(address, MEMBER_PORTS)).hostname;
        const hostServers = servers.filter((server) => server.startsWith(`${host}:`));
        const [peer, lastIndex, runsServer] = await Promise.all([
          askPeerPort(address, http, signal),
          lastIndexOf(address, tls, signal),
          isAnyRunning(
            hostServers.length > 0 ? hostServers : [`${host}:${DEFAULT_SERVER_PORT}`],
            transport,
            signal,
          ),
        ]);
        const isRunning = peer.kind === "running" || lastIndex !== undefined || runsServer;
        return { address, answer: isRunning ? { kind: "running", lastIndex } : peer } as const;
      }),
    );
  } finally {
    http.close();
  }
}

/** Checks the peer port, which etcd also serves without a quorum. */
async function askPeerPort(
  address: string,
  http: EtcdHttpClient,
  signal: AbortSignal,
): Promise<MemberResponse> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    await http.getStatus(`${peerUrl(address, MEMBER_PORTS)}/version`, limit);
    return { kind: "running", lastIndex: undefined };
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "ECONNREFUSED") return { kind: "stopped" };
    // A TLS error is a response, but not from this cluster.
    return { kind: "unreachable", reason: limit.aborted ? "timeout" : code || String(error) };
  }
}

/** Returns undefined for an etcd that does not serve clients. */
async function lastIndexOf(address: string, tls: EtcdTls, signal: AbortSignal): Promise<number | undefined> {
  const store = new EtcdStore({ endpoints: [clientUrl(address, MEMBER_PORTS)], tls });
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    return (await store.members.ownStatus(limit)).committedIndex;
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    store.close();
  }
}

/** Returns whether a server responds at one of the addresses, even with an error. */
async function isAnyRunning(
  servers: readonly string[],
  transport: RpcTransport,
  signal: AbortSignal,
): Promise<boolean> {
  const answers = await Promise.all(
    servers.map(async (address) => {
      const connection = transport.connect(PeerServiceService, { address });
      try {
        await connection.calls.checkLeader({ epoch: 0 }, { signal, timeoutMs: TIMEOUT_MS });
        return true;
      } catch (error) {
        signal.throwIfAborted();
        return !isBerthError(error, "BERTH_SERVER_UNREACHABLE") && !isBerthError(error, "BERTH_DEADLINE");
      } finally {
        connection.close();
      }
    }),
  );
  return answers.includes(true);
}
