import { isIP, isIPv4 } from "node:net";
import type { AssignedNetwork, DnsEndpoint, DnsEntry, TaskStatus } from "@berth/proto";
import { TaskState, TrafficSpec_Affinity } from "@berth/proto";
import { bridgeName } from "../core/networks/devices.js";
import type { DnsClient, DnsTable, DnsTask } from "../dataplane/dns/dns-table.js";

/** A task of this host, as far as its questions for names go. */
export interface AskingTask {
  readonly status: TaskStatus;
  /** Servers that its service wants asked. */
  readonly dns: readonly string[];
}

export interface NamesSources {
  /** Those that this host has a part of. */
  readonly networks: readonly AssignedNetwork[];
  readonly entries: readonly DnsEntry[];
  readonly tasks: Iterable<AskingTask>;
}

/**
 * What the leader says of names, in the words of the name server. What some host or user has called an address, and is
 * none, is left out: the ingress process takes a table as a whole or not at all.
 */
export function dnsTableOf({ networks, entries, tasks }: NamesSources): DnsTable {
  return {
    networks: networks.map(({ id, spec, subnet, gateway, vni }) => ({
      id,
      name: spec?.name ?? "",
      stack: spec?.stack ?? "",
      subnet,
      gateway,
      bridge: bridgeName(vni),
      ...(spec?.internal ? { isInternal: true } : {}),
    })),
    services: entries.map((entry) => ({
      key: entry.key,
      networkId: entry.networkId,
      service: entry.serviceName,
      stack: entry.stack,
      names: entry.names,
      vip: isIPv4(entry.vip) ? entry.vip : "",
      hasSourceAffinity: entry.affinity === TrafficSpec_Affinity.SOURCE,
      endpoints: endpointsOf(entry.endpoints),
      draining: endpointsOf(entry.draining),
    })),
    clients: Array.from(tasks).flatMap(askersOf),
  };
}

/** One for each of its addresses: which one it asks from depends on whom it asks. */
function askersOf({ status: { state, addresses }, dns }: AskingTask): readonly DnsClient[] {
  if (state !== TaskState.RUNNING && state !== TaskState.STARTING) return [];
  const networkIds = addresses.map(({ networkId }) => networkId);
  const servers = dns.filter((server) => isIP(server) !== 0);
  const asked = addresses.filter(({ address }) => isIPv4(address));
  return asked.map(({ address }) => ({ address, networkIds, dns: servers }));
}

function endpointsOf(endpoints: readonly DnsEndpoint[]): readonly DnsTask[] {
  const reached = endpoints.filter(({ address }) => isIPv4(address));
  return reached.map(({ taskId, nodeId, address, slot }) => ({ id: taskId, nodeId, address, slot }));
}
