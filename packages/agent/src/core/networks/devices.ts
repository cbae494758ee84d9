/** IANA's port for VXLAN (RFC 7348). */
export const VXLAN_PORT = 4_789;
/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet header: 20 + 8 + 8 + 14 bytes. */
const VXLAN_OVERHEAD_BYTES = 50;
/** An IPv6 header is 20 bytes longer. */
const IPV6_SURPLUS_BYTES = 20;
/** Outer IPv4 (20), UDP (8) and WireGuard (32) around each packet. */
export const WIREGUARD_OVERHEAD_BYTES = 60;
/** The largest that networks of hosts are set to; the loopback device's 64 KiB are of no use to anybody. */
const MAX_UPLINK_MTU = 9_000;
/** The least that an IPv4 host must take; less is a mistake in somebody's configuration. */
export const MIN_MTU = 576;

/** The hardware address that stands, in a device's forwarding table, for everybody. */
export const EVERYBODY = "00:00:00:00:00:00";

/** The bridge of a network on each host. The kernel allows 15 characters, and a VNI has at most eight digits. */
export function bridgeName(vni: number): string {
  return `bth${vni}`;
}

/** The VNI of one of our networks, by the name of its bridge; undefined for all other devices. */
export function vniOfBridge(name: string): number | undefined {
  const [, digits] = /^bth([1-9]\d{0,7})$/.exec(name) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** True for the bridge of one of our networks. */
export function isBridgeName(name: string): boolean {
  return vniOfBridge(name) !== undefined;
}

/** The VXLAN device that joins the bridges of all hosts. */
export function tunnelName(vni: number): string {
  return `btv${vni}`;
}

/** The VNI of one of our VXLAN devices, by its name; undefined for all other devices. */
export function vniOfTunnel(name: string): number | undefined {
  const [, digits] = /^btv([1-9]\d{0,7})$/.exec(name) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** Bytes that a packet may have in a network between hosts whose uplink takes `uplinkMtu`. */
export function overlayMtu(uplinkMtu: number, options: { isIpv6: boolean; isEncrypted: boolean }): number {
  const outer = VXLAN_OVERHEAD_BYTES + (options.isIpv6 ? IPV6_SURPLUS_BYTES : 0);
  // Inside WireGuard the tunnel's ends have addresses of IPv6.
  const encryption = options.isEncrypted ? WIREGUARD_OVERHEAD_BYTES + IPV6_SURPLUS_BYTES : 0;
  return Math.max(MIN_MTU, Math.min(uplinkMtu, MAX_UPLINK_MTU) - outer - encryption);
}
