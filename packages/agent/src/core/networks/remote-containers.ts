import { type AssignedNetwork, type DnsEndpoint, type DnsEntry, parseIpv4 } from "@berth/proto";
import { tunnelName } from "./devices.js";
import type { LinkStep } from "./network-step.js";
import type { ObservedLinks } from "./observed-links.js";

/** A container of another host in a listed network. */
export interface RemoteContainer {
  readonly address: string;
  readonly mac: string;
  /** Where the tunnel reaches its host. */
  readonly host: string;
}

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** The containers of other hosts, as names tell of them; those that answer count most where two have one address. */
export function remoteContainers(
  { id, peers }: AssignedNetwork,
  entries: readonly DnsEntry[],
  tunnelAddress: (peer: AssignedNetwork["peers"][number]) => string | undefined,
): readonly RemoteContainer[] {
  const hosts = new Map(peers.map((peer) => [peer.nodeId, tunnelAddress(peer)]));
  const here = entries.filter(({ networkId }) => networkId === id);
  const lists = [
    ...here.map(({ endpoints }) => endpoints),
    ...here.map(({ draining }) => draining),
    ...here.map(({ inactive: unanswered }) => unanswered),
  ];
  const containers: RemoteContainer[] = [];
  const taken = new Set<string>();
  for (const { nodeId, address, macAddress } of lists.flat()) {
    const host = hosts.get(nodeId);
    const mac = macOf({ address, macAddress });
    if (host === undefined || mac === undefined || taken.has(mac) || taken.has(address)) continue;
    taken.add(mac).add(address);
    containers.push({ address, mac, host });
  }
  return containers;
}

/**
 * Undefined: the address is none, whatever else is said of it; both become words of a program's input. What an agent of
 * an older release does not tell is as Docker makes it: 02:42, and the address.
 */
function macOf({ address, macAddress }: Pick<DnsEndpoint, "address" | "macAddress">): string | undefined {
  if (parseIpv4(address) === undefined) return undefined;
  if (MAC.test(macAddress)) return macAddress;
  const parts = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["02", "42", ...parts].join(":");
}

/**
 * What makes this host know these containers, and forget others: which host each hardware address is on, that it is
 * behind the tunnel, and whose address it is, which the bridge answers with instead of asking everybody.
 */
export function planContainers(
  vni: number,
  { vxlanFdb, bridgeFdb, neighbours }: ObservedLinks,
  containers: readonly RemoteContainer[],
): readonly LinkStep[] {
  const device = tunnelName(vni);
  const [hostOf, ports, macOfAddress] = [vxlanFdb.get(device), bridgeFdb.get(device), neighbours.get(vni)];
  const macs = new Set(containers.map(({ mac }) => mac));
  const addresses = new Set(containers.map(({ address }) => address));
  const put = containers.filter(
    ({ mac, host, address }) =>
      hostOf?.get(mac) !== host || !ports?.has(mac) || macOfAddress?.get(address) !== mac,
  );
  const gone = {
    vxlanFdb: [...(hostOf?.keys() ?? [])].filter((mac) => !macs.has(mac)),
    bridgeFdb: [...(ports ?? [])].filter((mac) => !macs.has(mac)),
    neighbours: [...(macOfAddress?.keys() ?? [])].filter((address) => !addresses.has(address)),
  };
  const goneCount = gone.vxlanFdb.length + gone.bridgeFdb.length + gone.neighbours.length;
  return put.length + goneCount === 0 ? [] : [{ kind: "list-containers", vni, put, gone }];
}
