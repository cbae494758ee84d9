import { type Subnet, subnetSize } from "@berth/proto";

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
