import { ipv4Text, parseIpv4, parseSubnet, type VirtualIp } from "@berth/proto";
import { pickVirtualIp } from "./address-pool.js";

/** Time before a released virtual IP is reused. Resolvers and programs may still cache the address. */
export const VIP_QUARANTINE_MS = 3_600_000;

/** A network that a service is attached to. */
export interface AttachedNetwork {
  readonly id: string;
  readonly subnet: string;
  /** Virtual IPs of all services in the network, including released ones. */
  readonly vips: readonly VirtualIp[];
  /** Static addresses of services in the network. */
  readonly staticAddresses: readonly string[];
}

export interface VirtualIpContext {
  /** The networks that the service is attached to. */
  readonly attached: readonly AttachedNetwork[];
  /** The virtual IPs of the service, including released ones. */
  readonly held: readonly VirtualIp[];
  readonly nowMs: number;
}

/** The records of virtual IPs to write and to delete. */
export interface VirtualIpChanges {
  readonly put: readonly VirtualIp[];
  /** Virtual IPs of other services whose quarantine is over. */
  readonly expired: readonly VirtualIp[];
}

/**
 * Allocates a virtual IP to a service in each of its networks. Releases its virtual IPs in networks that it has left.
 *
 * A service that returns within the quarantine gets its former address again. In a network without free addresses, the
 * service gets no virtual IP and its name resolves to its tasks.
 */
export function updateVirtualIps(
  serviceId: string,
  { attached, held, nowMs }: VirtualIpContext,
): VirtualIpChanges {
  const put: VirtualIp[] = [];
  const expired: VirtualIp[] = [];
  const attachedIds = new Set(attached.map(({ id }) => id));
  for (const vip of held) {
    if (attachedIds.has(vip.networkId) || vip.releasedAtMs !== 0) continue;
    put.push({ ...vip, releasedAtMs: nowMs });
  }
  for (const network of attached) {
    const current = network.vips.find((vip) => vip.serviceId === serviceId);
    if (current?.releasedAtMs === 0) continue;
    const reusable = network.vips.filter((vip) => isExpired(vip, nowMs) && vip !== current);
    expired.push(...reusable);
    const address = current?.address ?? pickAddress(network, new Set(reusable));
    if (address !== undefined) put.push({ networkId: network.id, serviceId, address, releasedAtMs: 0 });
  }
  return { put, expired };
}

function isExpired({ releasedAtMs }: VirtualIp, nowMs: number): boolean {
  return releasedAtMs !== 0 && nowMs - releasedAtMs >= VIP_QUARANTINE_MS;
}

function pickAddress(
  { subnet, vips, staticAddresses }: AttachedNetwork,
  reusable: ReadonlySet<VirtualIp>,
): string | undefined {
  const parsed = parseSubnet(subnet);
  if (parsed === undefined) return undefined;
  const inUse = vips.filter((vip) => !reusable.has(vip)).map(({ address }) => address);
  const takenAddresses = new Set([...inUse, ...staticAddresses].flatMap((text) => parseIpv4(text) ?? []));
  const picked = pickVirtualIp(parsed, takenAddresses);
  return picked === undefined ? undefined : ipv4Text(picked);
}
