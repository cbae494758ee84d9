import { type Subnet, subnetHas, subnetSize, subnetsOverlap } from "@berth/proto";

/** Below it are the numbers that people and other programs like to choose. */
export const FIRST_VNI = 4_096;
/** A VNI has 24 bits (RFC 7348). */
const END_VNI = 2 ** 24;

/** Where networks get their addresses. */
export interface NetworkPool {
  readonly subnet: Subnet;
  /** Prefix of each network. */
  readonly networkPrefix: number;
}

/** 256 networks with parts for 112 hosts each, away from what Docker and most local networks use. */
export const DEFAULT_NETWORK_POOL: NetworkPool = {
  subnet: { base: 0x0a_40_00_00, prefix: 10 },
  networkPrefix: 18,
};

/**
 * A subnet of the pool that overlaps none of the `taken` ones; undefined when there is none. The search begins
 * anywhere (`random`: from 0 up to 1), so that what was just given back is not given out again while hosts clean up.
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

/** A number that no network has, from anywhere: a host that was cut off may still use one that was given back. */
export function pickVni(taken: ReadonlySet<number>, random: number): number {
  const count = END_VNI - FIRST_VNI;
  let vni = FIRST_VNI + Math.floor(random * count);
  while (taken.has(vni)) vni = vni + 1 < END_VNI ? vni + 1 : FIRST_VNI;
  return vni;
}

/**
 * The first range of a network that no host has and that holds none of the `fixed` addresses; undefined when there is
 * none.
 */
export function pickRange(
  subnet: Subnet,
  { taken, fixed }: { readonly taken: readonly Subnet[]; readonly fixed: readonly number[] },
): Subnet | undefined {
  const layout = layoutOf(subnet);
  const size = subnetSize({ prefix: layout.rangePrefix });
  const indexOf = (address: number): number => Math.floor((address - subnet.base) / size);
  const used = new Set([...taken.map(({ base }) => indexOf(base)), ...fixed.map(indexOf)]);
  for (let index = layout.firstRange; index < layout.endRange; index += 1) {
    if (!used.has(index)) return rangeAt(layout, index);
  }
  return undefined;
}

/**
 * An address for a service, none of the `taken` ones; undefined when there is none. From the end: people who choose
 * addresses themselves choose the first ones, and those two are never given out.
 */
export function pickVirtualIp(subnet: Subnet, taken: ReadonlySet<number>): number | undefined {
  const { virtualIps: vips } = layoutOf(subnet);
  for (let address = vips.base + subnetSize(vips) - 1; address > vips.base + 1; address -= 1) {
    if (!taken.has(address) && subnetHas(subnet, address)) return address;
  }
  return undefined;
}

/** Addresses that stand for services come from the first eighth of a network. */
const VIP_SHARE_BITS = 3;
/** A host's part of a network has 128 addresses; of one with fewer than 2048 a sixteenth. */
const RANGE_PREFIX = 25;
const RANGE_SHARE_BITS = 4;
const SMALLEST_RANGE_PREFIX = 30;
/** The host's own, and the network's last one. */
const RESERVED_PER_RANGE = 2;

/** How the addresses of a network are given out. */
export interface NetworkLayout {
  readonly subnet: Subnet;
  /** The part from which services get theirs. */
  readonly virtualIps: Subnet;
  /** Prefix of each host's range. */
  readonly rangePrefix: number;
  /** Number of the first range: those before it are the `vips`. */
  readonly firstRange: number;
  /** Ranges are numbered up to, but without, this one. */
  readonly endRange: number;
  /** Containers that a host can have in it. */
  readonly addressesPerRange: number;
}

export function layoutOf(subnet: Subnet): NetworkLayout {
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

/** The range of a number. */
export function rangeAt({ subnet, rangePrefix }: NetworkLayout, index: number): Subnet {
  return { base: subnet.base + index * subnetSize({ prefix: rangePrefix }), prefix: rangePrefix };
}

/** The host's own address in its range. */
export function gatewayOf(range: Subnet): number {
  return range.base + 1;
}
