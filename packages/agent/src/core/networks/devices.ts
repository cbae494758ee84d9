/** IANA's port for VXLAN (RFC 7348). */
export const VXLAN_PORT = 4_789;
/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet header: 20 + 8 + 8 + 14 bytes. */
const VXLAN_OVERHEAD_BYTES = 50;
/** An IPv6 header is 20 bytes longer. */
const IPV6_SURPLUS_BYTES = 20;
/** The outer IPv4 (20), UDP (8) and WireGuard (32) headers of each packet. */
export const WIREGUARD_OVERHEAD_BYTES = 60;
/** The largest MTU used between hosts; the loopback device's 64 KiB is not useful. */
const MAX_UPLINK_MTU = 9_000;
/** Every IPv4 host must accept packets of this size; a smaller MTU is a misconfiguration. */
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
  const overheadBytes = VXLAN_OVERHEAD_BYTES + (options.isIpv6 ? IPV6_SURPLUS_BYTES : 0);
  // Tunnel endpoints inside WireGuard have IPv6 addresses.
  const encryption = options.isEncrypted ? WIREGUARD_OVERHEAD_BYTES + IPV6_SURPLUS_BYTES : 0;
  return Math.max(MIN_MTU, Math.min(uplinkMtu, MAX_UPLINK_MTU) - overheadBytes - encryption);
}
