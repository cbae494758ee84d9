import { ipv4Text, parseIpv4, parseSubnet, type VirtualIp } from "@berth/proto";
import { pickVirtualIp } from "./address-pool.js";

/** Resolvers, and programs that ask only once, may remember an address for so long. */
export const VIP_QUARANTINE_MS = 3_600_000;

/** A service's networks, by the names that its spec has for them. */
export interface AttachedNetwork {
  readonly id: string;
  readonly subnet: string;
  /** Addresses that stand for services in it, given back ones too. */
  readonly vips: readonly VirtualIp[];
  /** Addresses that services have chosen for their tasks. */
  readonly staticAddresses: readonly string[];
}

export interface VirtualIpChanges {
  readonly put: readonly VirtualIp[];
  /** Given back so long ago that nobody remembers them. */
  readonly forgotten: readonly VirtualIp[];
}

/**
 * Gives a service an address in each of its networks, and takes back those in networks that it has left. A service
 * that comes back within an hour gets its own again. A network that is full has none for it: its names then stand for
 * its tasks.
 */
export function updateVirtualIps(
  serviceId: string,
  {
    joined,
    held,
    now,
  }: {
    readonly joined: readonly AttachedNetwork[];
    readonly held: readonly VirtualIp[];
    readonly now: number;
  },
): VirtualIpChanges {
  const put: VirtualIp[] = [];
  const forgotten: VirtualIp[] = [];
  const wanted = new Set(joined.map(({ id }) => id));
  for (const vip of held) {
    if (wanted.has(vip.networkId) || vip.releasedAtMs !== 0) continue;
    put.push({ ...vip, releasedAtMs: now });
  }
  for (const network of joined) {
    const own = network.vips.find((vip) => vip.serviceId === serviceId);
    if (own?.releasedAtMs === 0) continue;
    const outlived = network.vips.filter((vip) => isOutlived(vip, now) && vip !== own);
    forgotten.push(...outlived);
    const address = own?.address ?? freshVip(network, new Set(outlived));
    if (address !== undefined) put.push({ networkId: network.id, serviceId, address, releasedAtMs: 0 });
  }
  return { put, forgotten };
}

const isOutlived = ({ releasedAtMs }: VirtualIp, now: number): boolean =>
  releasedAtMs !== 0 && now - releasedAtMs >= VIP_QUARANTINE_MS;

function freshVip(
  { subnet, vips, staticAddresses: fixed }: AttachedNetwork,
  free: ReadonlySet<VirtualIp>,
): string | undefined {
  const parsed = parseSubnet(subnet);
  if (parsed === undefined) return undefined;
  const taken = new Set<number>();
  for (const vip of vips) if (!free.has(vip)) take(taken, vip.address);
  for (const address of fixed) take(taken, address);
  const picked = pickVirtualIp(parsed, taken);
  return picked === undefined ? undefined : ipv4Text(picked);
}

function take(taken: Set<number>, text: string): void {
  const address = parseIpv4(text);
  if (address !== undefined) taken.add(address);
}
