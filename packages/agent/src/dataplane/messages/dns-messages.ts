import { isIP, isIPv4 } from "node:net";
import {
  assertNever,
  type DnsClient as ClientMessage,
  type DnsConfig,
  DnsEntry,
  type DnsEndpoint as EndpointMessage,
  type DnsNetwork as NetworkMessage,
  parseSubnet,
  TrafficSpec_Affinity,
} from "@berth/proto";
import type { DnsClient, DnsNetwork, DnsService, DnsTable, DnsTask } from "../dns/dns-table.js";

/** Names of network devices, as Linux allows them. */
const DEVICE_NAME = /^[\w.-]{1,15}$/;

/**
 * Converts a DNS configuration to the table of the DNS server. Networks are validated, since they open sockets and
 * become part of nft scripts. Other addresses come from users and hosts; invalid ones are left out.
 *
 * @throws Error if a network is invalid
 */
export function parseDnsConfig({ networks, entries, clients }: DnsConfig): DnsTable {
  return {
    networks: networks.map(parseNetwork),
    services: entries.map(parseEntry),
    clients: clients.filter(({ address }) => isIPv4(address)).map(parseClient),
  };
}

/** The inverse of {@link parseDnsConfig}. */
export function formatDnsConfig({ networks, services, clients }: DnsTable): DnsConfig {
  return {
    networks: networks.map(({ isInternal = false, ...network }) => ({ ...network, internal: isInternal })),
    entries: services.map(formatEntry),
    clients: clients.map(({ address, networkIds, dns, links }) => ({
      address,
      networkIds: [...networkIds],
      dns: [...dns],
      links: Object.fromEntries(links ?? []),
    })),
  };
}

function parseNetwork({ internal, ...network }: NetworkMessage): DnsNetwork {
  const { name, gateway, subnet, bridge } = network;
  if (!isIPv4(gateway)) throw new Error(`network ${name}: ${JSON.stringify(gateway)} is not an IPv4 address`);
  if (parseSubnet(subnet) === undefined) {
    throw new Error(`network ${name}: ${JSON.stringify(subnet)} is not an IPv4 subnet`);
  }
  if (!DEVICE_NAME.test(bridge)) {
    throw new Error(`network ${name}: ${JSON.stringify(bridge)} is not a device name`);
  }
  return { ...network, ...(internal ? { isInternal: true } : {}) };
}

function parseEntry(entry: DnsEntry): DnsService {
  const { key, networkId, serviceName: service, stack, names, vip, affinity, holdMs } = entry;
  const { endpoints, draining } = entry;
  return {
    key,
    networkId,
    service,
    stack,
    names,
    vip: isIPv4(vip) ? vip : "",
    hasSourceAffinity: hasSourceAffinity(affinity),
    ...(holdMs > 0 ? { holdMs } : {}),
    endpoints: parseEndpoints(endpoints),
    draining: parseEndpoints(draining),
  };
}

function hasSourceAffinity(affinity: TrafficSpec_Affinity): boolean {
  switch (affinity) {
    case TrafficSpec_Affinity.UNSPECIFIED:
    case TrafficSpec_Affinity.NONE:
      return false;
    case TrafficSpec_Affinity.SOURCE:
      return true;
    default:
      return assertNever(affinity);
  }
}

function parseEndpoints(endpoints: readonly EndpointMessage[]): readonly DnsTask[] {
  const valid = endpoints.filter(({ address }) => isIPv4(address));
  return valid.map(({ taskId, nodeId, address, slot }) => ({ id: taskId, nodeId, address, slot }));
}

function parseClient({ address, networkIds, dns, links }: ClientMessage): DnsClient {
  const names = Object.entries(links).map(
    ([alias, name]) => [alias.toLowerCase(), name.toLowerCase()] as const,
  );
  return {
    address,
    networkIds,
    dns: dns.filter((server) => isIP(server) !== 0),
    ...(names.length > 0 ? { links: new Map(names) } : {}),
  };
}

function formatEntry(entry: DnsService): DnsEntry {
  const {
    key,
    networkId,
    service,
    stack,
    names,
    vip,
    hasSourceAffinity,
    holdMs = 0,
    endpoints,
    draining,
  } = entry;
  return {
    ...DnsEntry.fromPartial({ key, networkId, stack, vip, holdMs }),
    serviceName: service,
    names: [...names],
    affinity: hasSourceAffinity === true ? TrafficSpec_Affinity.SOURCE : TrafficSpec_Affinity.NONE,
    endpoints: endpoints.map(formatEndpoint),
    draining: draining.map(formatEndpoint),
  };
}

function formatEndpoint({ id, nodeId, address, slot }: DnsTask): EndpointMessage {
  return { taskId: id, nodeId, address, slot, macAddress: "" };
}
