import type { AssignedNetwork } from "@berth/proto";
import { WIREGUARD_OVERHEAD_BYTES } from "./devices.js";
import type { LinkStep } from "./network-step.js";
import type { ObservedLinks } from "./observed-links.js";
import type { ObservedWireguard } from "./observed-wireguard.js";
import type { NetworkHost } from "./plan-network.js";

/** The one device through which all encrypted networks of a host go. */
export const WIREGUARD_DEVICE = "berthwg";
/** UDP, on every host. */
export const WIREGUARD_PORT = 7_403;
/**
 * Inside WireGuard, with a host's IPv4 address as its end. Only of addresses of a link (RFC 4291 §2.5.6) does the kernel
 * hold to a VXLAN device's link, in both directions: packets to others leave by whatever route there is when WireGuard's
 * is gone, and are taken from whatever device they come by.
 */
const INNER_PREFIX = "fe80::";
export const INNER_PREFIX_BITS = 64;

/** 32 bytes in base64. `wg` takes a whole configuration or, for one wrong key in it, nothing. */
const KEY = /^[A-Za-z0-9+/]{43}=$/;

/** False of what a host says that has none, too. */
export function isWireguardKey(text: string): boolean {
  return KEY.test(text);
}

/** Another host, as WireGuard knows it. */
export interface WireguardPeer {
  readonly publicKey: string;
  /** Its IPv4 address outside. */
  readonly address: string;
}

/** Where a host answers inside WireGuard: what comes from there was encrypted, and by that host. */
export function innerAddress(address: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
  return `${INNER_PREFIX}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

/** True for what {@link innerAddress} makes: an address of the WireGuard device's link, and of no other. */
export function isInnerAddress(address: string): boolean {
  return address.startsWith(INNER_PREFIX);
}

/** What `wg syncconf` reads. Each peer may send from its own address alone. */
export function wireguardConfig(privateKey: string, peers: readonly WireguardPeer[]): string {
  const sections = peers.map(
    (peer) => `
[Peer]
PublicKey = ${peer.publicKey}
Endpoint = ${peer.address}:${WIREGUARD_PORT}
AllowedIPs = ${allowedIpsOf(peer)}
`,
  );
  return `[Interface]
PrivateKey = ${privateKey}
ListenPort = ${WIREGUARD_PORT}
${sections.join("")}`;
}

/** What to do so that this host can send to the other hosts of its encrypted networks; nothing where it cannot. */
export function planWireguard(
  networks: readonly AssignedNetwork[],
  { links, wireguard, uplinkMtu }: ObservedLinks,
  { address, encryptionRefusal, wireguardPublicKey }: NetworkHost,
): readonly LinkStep[] {
  const encrypted = networks.filter(({ spec }) => spec?.encrypted);
  if (encryptionRefusal !== "" || uplinkMtu === 0) return [];
  const link = links.get(WIREGUARD_DEVICE);
  if (encrypted.length === 0) {
    // Containers may still be in a network that is to go: its tunnel ends with the device.
    const isInUse = [...links.values()].some(({ boundDevice }) => boundDevice === WIREGUARD_DEVICE);
    return link === undefined || isInUse ? [] : [{ kind: "delete-link", device: WIREGUARD_DEVICE }];
  }
  const [inner, mtu] = [innerAddress(address), uplinkMtu - WIREGUARD_OVERHEAD_BYTES];
  const isRaised = link?.isUp && link.mtu === mtu && link.addresses.includes(inner);
  const peers = peersOf(encrypted);
  const isKnown = wireguard !== undefined && knows(wireguard, wireguardPublicKey, peers);
  return [
    ...(link === undefined ? [{ kind: "add-wireguard" } as const] : []),
    ...(isKnown ? [] : [{ kind: "set-wireguard", peers } as const]),
    ...(isRaised ? [] : [{ kind: "raise-wireguard", inner, mtu } as const]),
  ];
}

/** Where a host is heard from is its own affair: behind some routers that is not the address it answers at. */
function knows(
  { publicKey, port, peers: known }: ObservedWireguard,
  own: string,
  peers: readonly WireguardPeer[],
): boolean {
  return (
    publicKey === own &&
    port === WIREGUARD_PORT &&
    known.size === peers.length &&
    peers.every((peer) => {
      const { allowedIps, endpoint } = known.get(peer.publicKey) ?? { allowedIps: "", endpoint: "" };
      return allowedIps === allowedIpsOf(peer) && endpoint !== "(none)";
    })
  );
}

const allowedIpsOf = ({ address }: WireguardPeer): string => `${innerAddress(address)}/128`;

/**
 * Each host once, in a fixed order: WireGuard has one peer of a key, and one to whom an address belongs. A host without
 * a key, or with what is none, cannot take part, whatever it is said to be: it must not keep the others from it.
 */
function peersOf(networks: readonly AssignedNetwork[]): readonly WireguardPeer[] {
  const byKey = new Map<string, WireguardPeer>();
  for (const { wireguardPublicKey: publicKey, address } of networks.flatMap(({ peers }) => peers)) {
    byKey.delete(publicKey); // what is told last counts, and comes last
    if (isWireguardKey(publicKey)) byKey.set(publicKey, { publicKey, address });
  }
  const byAddress = new Map([...byKey.values()].map((peer) => [peer.address, peer]));
  return [...byAddress.values()].sort((a, b) => (a.publicKey < b.publicKey ? -1 : 1));
}
