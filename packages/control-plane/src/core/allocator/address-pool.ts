import { type Subnet, subnetHas, subnetSize, subnetsOverlap } from "@berth/proto";

/** The smallest VNI that berth assigns. Users and other programs may use smaller ones. */
export const FIRST_VNI = 4_096;
/** The first number after the last VNI. A VNI has 24 bits (RFC 7348). */
const END_VNI = 2 ** 24;

/** The address range from which networks get their subnets. */
export interface NetworkPool {
  readonly subnet: Subnet;
  /** Prefix length of each network. */
  readonly networkPrefix: number;
}

/** 10.64.0.0/10: 256 networks of 112 hosts each, outside the ranges that Docker and most local networks use. */
export const DEFAULT_NETWORK_POOL: NetworkPool = {
  subnet: { base: 0x0a_40_00_00, prefix: 10 },
  networkPrefix: 18,
};

/** Binary logarithm of the share of virtual IPs: they come from the first eighth of a network. */
const VIP_SHARE_BITS = 3;
/** Prefix length of a node's range: 128 addresses. */
const RANGE_PREFIX = 25;

/** Binary logarithm of a range's share in a network with fewer than 2,048 addresses: a sixteenth. */
const RANGE_SHARE_BITS = 4;

/** Longest prefix of a node's range, which has two addresses for containers. */
const SMALLEST_RANGE_PREFIX = 30;
/** Number of addresses that containers cannot get in each range: the gateway and the broadcast address. */
const RESERVED_PER_RANGE = 2;

/** The division of a network's subnet into virtual IPs and one range per node. */
export interface NetworkLayout {
  readonly subnet: Subnet;
  /** The part from which services get their virtual IPs. */
  readonly virtualIps: Subnet;
  /** Prefix length of each node's range. */
  readonly rangePrefix: number;
  /** Index of the first range of a node. The space of the ranges before it is used for virtual IPs. */
  readonly firstRange: number;
  /** Index after the last range. */
  readonly endRange: number;
  /** Number of containers that a node can have in the network. */
  readonly addressesPerRange: number;
}

/** Returns the division of a network's subnet. */
export function networkLayout(subnet: Subnet): NetworkLayout {
  const { base, prefix } = subnet;
  const rangePrefix = Math.min(SMALLEST_RANGE_PREFIX, Math.max(RANGE_PREFIX, prefix + RANGE_SHARE_BITS));
  const endRange = 2 ** (rangePrefix - prefix);
  return {
    subnet,
    virtualIps: { base, prefix: prefix + VIP_SHARE_BITS },
    rangePrefix,
    firstRange: endRange / 2 ** VIP_SHARE_BITS,
    endRange,
    addressesPerRange: subnetSize({ prefix: rangePrefix }) - RESERVED_PER_RANGE,
  };
}

function rangeAt({ subnet, rangePrefix }: NetworkLayout, index: number): Subnet {
  return { base: subnet.base + index * subnetSize({ prefix: rangePrefix }), prefix: rangePrefix };
}

/** Returns the node's own address in its range. */
export function gatewayAddress(range: Subnet): number {
  return range.base + 1;
}

/**
 * Picks a subnet of the pool that overlaps no taken subnet. Returns undefined if none is left.
 *
 * The search starts at a random position (`random` is from 0 up to 1). A subnet that was just released is then rarely
 * reused while nodes still clean up.
 */
export function pickSubnet(
  { subnet, networkPrefix: prefix }: NetworkPool,
  taken: readonly Subnet[],
  random: number,
): Subnet | undefined {
  const count = 2 ** (prefix - subnet.prefix);
  const start = Math.floor(random * count);
  for (let step = 0; step < count; step += 1) {
    const base = subnet.base + ((start + step) % count) * subnetSize({ prefix });
    if (!taken.some((other) => subnetsOverlap(other, { base, prefix }))) return { base, prefix };
  }
  return undefined;
}

/** Picks a free VNI, starting at a random position. A disconnected node may still use a VNI that was just released. */
export function pickVni(taken: ReadonlySet<number>, random: number): number {
  const count = END_VNI - FIRST_VNI;
  let vni = FIRST_VNI + Math.floor(random * count);
  while (taken.has(vni)) vni = vni + 1 < END_VNI ? vni + 1 : FIRST_VNI;
  return vni;
}

/** The parts of a network that a new range must not contain. */
export interface UsedAddresses {
  /** The ranges of other nodes. */
  readonly taken: readonly Subnet[];
  readonly staticAddresses: readonly number[];
}

/** Picks the first free range of a network that contains no static address. Returns undefined if none is left. */
export function pickRange(subnet: Subnet, { taken, staticAddresses }: UsedAddresses): Subnet | undefined {
  const layout = networkLayout(subnet);
  const size = subnetSize({ prefix: layout.rangePrefix });
  const indexOf = (address: number): number => Math.floor((address - subnet.base) / size);
  const used = new Set([...taken.map(({ base }) => indexOf(base)), ...staticAddresses.map(indexOf)]);
  for (let index = layout.firstRange; index < layout.endRange; index += 1) {
    if (!used.has(index)) return rangeAt(layout, index);
  }
  return undefined;
}

/**
 * Picks a free virtual IP. Returns undefined if none is left.
 *
 * Searches backwards, because users choose static addresses at the start of a subnet. Skips the first two addresses.
 */
export function pickVirtualIp(subnet: Subnet, taken: ReadonlySet<number>): number | undefined {
  const { virtualIps } = networkLayout(subnet);
  for (
    let address = virtualIps.base + subnetSize(virtualIps) - 1;
    address > virtualIps.base + 1;
    address -= 1
  ) {
    if (!taken.has(address) && subnetHas(subnet, address)) return address;
  }
  return undefined;
}
