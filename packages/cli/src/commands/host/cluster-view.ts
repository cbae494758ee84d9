import { NodeState, type NodeSummary, Server_State as ServerState, type ServerStatus } from "@berth/proto";
import { certificateFacts, parseCertificate, readAuthority } from "@berth/proto/identity";
import type { ControlClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import type { HostFacts } from "../../core/hosts/host-facts.js";
import type { Membership } from "../../core/hosts/plan-add.js";
import type { HostMemberships } from "../../core/hosts/plan-remove.js";
import type { Cli } from "../../process/cli.js";

/** Facts about the cluster that the commands for hosts depend on. */
export interface ClusterView {
  readonly name: string;
  /** "host:port" of each server. */
  readonly addresses: readonly string[];
  readonly nodes: readonly NodeSummary[];
  readonly servers: readonly ServerStatus[];
  /** Time by which the leader's clock is ahead of this machine's. */
  readonly clockAheadMs: number;
}

/** Reads the cluster from its leader. */
export function readCluster(cli: Cli, client: ControlClient): Promise<ClusterView> {
  const { signal, now } = cli;
  return retryDuringElection(cli, async () => {
    const startMs = now();
    const { servers: addresses, nowMs } = await client.getCluster({}, { signal });
    // Assumes that the request and the response took the same time.
    const clockAheadMs = nowMs - (startMs + now()) / 2;
    const [{ nodes }, { servers }, { authorities }] = await Promise.all([
      client.listNodes({}, { signal }),
      client.listServers({}, { signal }),
      client.listAuthorities({}, { signal }),
    ]);
    const [authority] = authorities;
    const name = authority === undefined ? "" : readAuthority(authority.certificate).cluster;
    return { name, addresses, nodes, servers, clockAheadMs };
  });
}

/** Returns the node and the server of the cluster that a host has certificates for. */
export function membershipsOf(
  { nodeCertificate, serverCertificate }: Pick<HostFacts, "nodeCertificate" | "serverCertificate">,
  { nodes, servers }: Pick<ClusterView, "nodes" | "servers">,
): HostMemberships {
  return {
    node: membershipOf(nodeCertificate, (id) => {
      const node = nodes.find((each) => each.node?.id === id)?.node;
      return (
        node && { isReady: node.state === NodeState.READY && !node.agentUnreachable, labels: node.labels }
      );
    }),
    server: membershipOf(serverCertificate, (id) => {
      const server = servers.find((each) => each.server?.id === id)?.server;
      return server && { isReady: server.state === ServerState.UP, labels: {} };
    }),
  };
}

function membershipOf(
  certificate: string,
  find: (id: string) => Membership["listed"],
): Membership | undefined {
  if (certificate === "") return undefined;
  const { cluster, identity } = certificateFacts(parseCertificate(certificate));
  if (identity.kind === "user") return undefined;
  return { id: identity.id, cluster, listed: find(identity.id) };
}
