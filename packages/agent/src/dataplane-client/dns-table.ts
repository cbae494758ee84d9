import {
  type AssignedNetwork,
  type DnsClient,
  type DnsConfig,
  type DnsEntry,
  TaskState,
  type TaskStatus,
} from "@berth/proto";
import { bridgeName } from "../core/networks/devices.js";

/** The fields of a task on this node that decide how its DNS queries are answered. */
export interface DnsClientTask {
  readonly status: TaskStatus;
  /** DNS servers for external names, from the service's spec. */
  readonly dns: readonly string[];
  /** Names visible only to the task, by alias, from the service's spec. */
  readonly links: Readonly<Record<string, string>>;
}

export interface DnsSources {
  /** Networks that exist on this node. */
  readonly networks: readonly AssignedNetwork[];
  readonly entries: readonly DnsEntry[];
  readonly tasks: Iterable<DnsClientTask>;
}

/** Returns the DNS configuration of this node's ingress process. */
export function dnsConfigOf({ networks, entries, tasks }: DnsSources): DnsConfig {
  return {
    networks: networks.map(({ id, spec, subnet, gateway, vni }) => ({
      id,
      subnet,
      gateway,
      name: spec?.name ?? "",
      stack: spec?.stack ?? "",
      bridge: bridgeName(vni),
      internal: spec?.internal ?? false,
    })),
    // The DNS server never answers with inactive tasks, so their list is not sent.
    entries: entries.map((entry) => (entry.inactive.length === 0 ? entry : { ...entry, inactive: [] })),
    clients: Array.from(tasks).flatMap(clientsOf),
  };
}

/** Returns one client for each address of the task, because the task's source address depends on the destination. */
function clientsOf({ status: { state, addresses }, dns, links }: DnsClientTask): readonly DnsClient[] {
  if (state !== TaskState.RUNNING && state !== TaskState.STARTING) return [];
  const networkIds = addresses.map(({ networkId }) => networkId);
  return addresses.map(({ address }) => ({ address, networkIds, dns: [...dns], links }));
}
