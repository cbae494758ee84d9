// The names of the devices of an overlay network, and the MTU that fits its encapsulation.

/** UDP port of VXLAN, assigned by IANA (RFC 7348). */
export const VXLAN_PORT = 4_789;
/** Size of the headers that VXLAN adds: outer IPv4 (20), UDP (8), VXLAN (8) and inner Ethernet (14). */
const VXLAN_OVERHEAD_BYTES = 50;
/** Number of bytes by which an IPv6 header is longer than an IPv4 header. */
const IPV6_EXTRA_HEADER_BYTES = 20;
/** Size of the headers that WireGuard adds: outer IPv4 (20), UDP (8) and WireGuard (32). */
export const WIREGUARD_OVERHEAD_BYTES = 60;
/** Maximum MTU that is used between hosts. A larger one, such as the loopback device's 64 KiB, brings no benefit. */
const MAX_UPLINK_MTU = 9_000;
/**
 * Minimum MTU of an overlay network. Every IPv4 host must accept packets of this size, so a smaller MTU is a
 * misconfiguration.
 */
export const MIN_MTU = 576;

/** The MAC address of flood entries in a forwarding database: broadcast, multicast and unknown unicast go there. */
export const FLOOD_MAC = "00:00:00:00:00:00";

/** Returns the name of a network's bridge. The kernel allows 15 characters, and a VNI has at most eight digits. */
export function bridgeName(vni: number): string {
  return `bth${vni}`;
}

/** Returns the VNI of a berth network from the name of its bridge, or undefined for other devices. */
export function vniOfBridge(name: string): number | undefined {
  const [, digits] = /^bth([1-9]\d{0,7})$/.exec(name) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** Returns whether a device is the bridge of a berth network. */
export function isBridgeName(name: string): boolean {
  return vniOfBridge(name) !== undefined;
}

/** Returns the name of the VXLAN device that connects the bridges of all hosts. */
export function tunnelName(vni: number): string {
  return `btv${vni}`;
}

/** Returns the VNI of a berth VXLAN device from its name, or undefined for other devices. */
export function vniOfTunnel(name: string): number | undefined {
  const [, digits] = /^btv([1-9]\d{0,7})$/.exec(name) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** Returns the MTU of a network whose hosts have an uplink with `uplinkMtu`. */
export function overlayMtu(uplinkMtu: number, options: { isIpv6: boolean; isEncrypted: boolean }): number {
  const vxlanBytes = VXLAN_OVERHEAD_BYTES + (options.isIpv6 ? IPV6_EXTRA_HEADER_BYTES : 0);
  // Inside WireGuard, VXLAN always uses IPv6, whose header is longer.
  const encryptionBytes = options.isEncrypted ? WIREGUARD_OVERHEAD_BYTES + IPV6_EXTRA_HEADER_BYTES : 0;
  return Math.max(MIN_MTU, Math.min(uplinkMtu, MAX_UPLINK_MTU) - vxlanBytes - encryptionBytes);
}
