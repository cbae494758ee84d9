import type { DnsEntry, IngressEntry } from "@berth/proto";
import { dnsEntries, hasStaticFdb } from "../core/allocator/dns-entries.js";
import { holdDurationMs } from "../core/endpoints/hold-duration.js";
import { ingressEntries } from "../core/endpoints/ingress-entries.js";
import type { ClusterState } from "../state/cluster-state.js";
import { serviceSnapshot } from "../state/service-snapshot.js";

export interface TrafficEntrySourceOptions {
  readonly state: ClusterState;
  readonly isSuspect: (nodeId: string) => boolean;
  /** Networks with more hosts than this use static forwarding entries instead of flooding. */
  readonly floodLimit: number;
}

/** Computes the entries of the leader's traffic tables from the current records. */
export interface TrafficEntrySource {
  /** Returns the entries of a service's published ports. Empty as soon as the service is being removed. */
  readonly computeIngressEntries: (serviceId: string) => readonly IngressEntry[];
  /** Returns the DNS entries of a service. A removed service keeps them until its last task is gone. */
  readonly computeDnsEntries: (serviceId: string) => readonly DnsEntry[];
  /** Returns whether the hosts of a network get static forwarding entries. */
  readonly hasStaticFdb: (networkId: string) => boolean;
}

export function createTrafficEntrySource({
  state,
  isSuspect,
  floodLimit,
}: TrafficEntrySourceOptions): TrafficEntrySource {
  const { networks, nodes } = state;
  const isFdbStatic = (networkId: string): boolean => {
    const network = networks.get(networkId);
    return (
      network !== undefined && hasStaticFdb(network, networks.ranges.ofNetwork(networkId).size, floodLimit)
    );
  };
  return {
    computeIngressEntries: (serviceId) => {
      const snapshot = serviceSnapshot(state, serviceId);
      if (snapshot === undefined || snapshot.service.removing) return [];
      return ingressEntries(snapshot, { nodes: nodes.nodes, isSuspect });
    },
    computeDnsEntries: (serviceId) => {
      const snapshot = serviceSnapshot(state, serviceId);
      if (snapshot === undefined) return [];
      return dnsEntries(snapshot, {
        nodes: nodes.nodes,
        isSuspect,
        hasStaticFdb: isFdbStatic,
        holdMs: holdDurationMs(snapshot),
        networkIdOf: (name) => networks.idOf(name),
        virtualIpIn: (networkId) => {
          const vip = networks.vips.get(networkId, serviceId);
          return vip?.releasedAtMs === 0 ? vip.address : "";
        },
      });
    },
    hasStaticFdb: isFdbStatic,
  };
}
