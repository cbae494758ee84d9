import { ipv4Text, parseIpv4, parseSubnet, type VirtualIp } from "@berth/proto";
import { pickVirtualIp } from "./address-pool.js";

/** A released virtual IP is not reused for this long: resolvers and programs may still remember it. */
export const VIP_QUARANTINE_MS = 3_600_000;

/** A network that a service is attached to. */
export interface AttachedNetwork {
  readonly id: string;
  readonly subnet: string;
  /** Virtual IPs of all services in the network, released ones included. */
  readonly vips: readonly VirtualIp[];
  /** Addresses that services have chosen for their tasks. */
  readonly staticAddresses: readonly string[];
}

export interface VirtualIpChanges {
  readonly put: readonly VirtualIp[];
  /** Virtual IPs of other services whose quarantine is over. */
  readonly expired: readonly VirtualIp[];
}

/**
 * Gives a service a virtual IP in each of its networks and releases those in networks that it has left.
 *
 * A service that returns within the quarantine gets its former address again. In a network without free addresses the
 * service gets none; its name then resolves to its tasks.
 */
export function updateVirtualIps(
  serviceId: string,
  {
    attached,
    held,
    now,
  }: {
    readonly attached: readonly AttachedNetwork[];
    /** The virtual IPs of the service, released ones included. */
    readonly held: readonly VirtualIp[];
    readonly now: number;
  },
): VirtualIpChanges {
  const put: VirtualIp[] = [];
  const expired: VirtualIp[] = [];
  const wanted = new Set(attached.map(({ id }) => id));
  for (const vip of held) {
    if (wanted.has(vip.networkId) || vip.releasedAtMs !== 0) continue;
    put.push({ ...vip, releasedAtMs: now });
  }
  for (const network of attached) {
    const own = network.vips.find((vip) => vip.serviceId === serviceId);
    if (own?.releasedAtMs === 0) continue;
    const reusable = network.vips.filter((vip) => isExpired(vip, now) && vip !== own);
    expired.push(...reusable);
    const address = own?.address ?? freeAddress(network, new Set(reusable));
    if (address !== undefined) put.push({ networkId: network.id, serviceId, address, releasedAtMs: 0 });
  }
  return { put, expired };
}

const isExpired = ({ releasedAtMs }: VirtualIp, now: number): boolean =>
  releasedAtMs !== 0 && now - releasedAtMs >= VIP_QUARANTINE_MS;

function freeAddress(
  { subnet, vips, staticAddresses }: AttachedNetwork,
  reusable: ReadonlySet<VirtualIp>,
): string | undefined {
  const parsed = parseSubnet(subnet);
  if (parsed === undefined) return undefined;
  const inUse = vips.filter((vip) => !reusable.has(vip)).map(({ address }) => address);
  const taken = new Set([...inUse, ...staticAddresses].flatMap((text) => parseIpv4(text) ?? []));
  const picked = pickVirtualIp(parsed, taken);
  return picked === undefined ? undefined : ipv4Text(picked);
}
