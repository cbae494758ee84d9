import type { AssignedNetwork } from "@berth/proto";
import type { LinkStep } from "./network-step.js";
import type { ObservedLinks } from "./observed-links.js";
import type { NetworkHost } from "./plan-network.js";

/** The one device through which all encrypted networks of a host go. */
export const WIREGUARD_DEVICE = "berthwg";
/** UDP, on every host. */
export const WIREGUARD_PORT = 7_403;
/** Of our own inside WireGuard (RFC 4193: "berth" in hexadecimal digits), with a host's IPv4 address as its end. */
const INNER_PREFIX = "fd62:6572:7468::";
export const INNER_PREFIX_BITS = 96;

/** IPv4 (20), UDP (8) and WireGuard (32) around each packet. */
const WIREGUARD_OVERHEAD_BYTES = 60;

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

/** What `wg syncconf` reads. Each peer may send from its own address alone. */
export function wireguardConfig(privateKey: string, peers: readonly WireguardPeer[]): string {
  const sections = peers.map(
    ({ publicKey, address }) => `
[Peer]
PublicKey = ${publicKey}
Endpoint = ${address}:${WIREGUARD_PORT}
AllowedIPs = ${innerAddress(address)}/128
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
  { links, wireguardPeers, uplinkMtu }: ObservedLinks,
  { address, encryptionRefusal }: NetworkHost,
): readonly LinkStep[] {
  const encrypted = networks.filter(({ spec }) => spec?.encrypted);
  const isThere = links.has(WIREGUARD_DEVICE);
  if (encrypted.length === 0 || encryptionRefusal !== "") {
    return isThere ? [{ kind: "delete-link", device: WIREGUARD_DEVICE }] : [];
  }
  const peers = peersOf(encrypted);
  const isKnown =
    isThere &&
    peers.length === wireguardPeers.size &&
    peers.every((peer) => wireguardPeers.get(peer.publicKey) === peer.address);
  const add: LinkStep = { kind: "add-wireguard", inner: innerAddress(address), mtu: wireguardMtu(uplinkMtu) };
  return [...(isThere ? [] : [add]), ...(isKnown ? [] : [{ kind: "set-wireguard", peers } as const])];
}

const wireguardMtu = (uplinkMtu: number): number => uplinkMtu - WIREGUARD_OVERHEAD_BYTES;

/** Each host once, in a fixed order. A host without a key cannot take part, whatever it is said to be. */
function peersOf(networks: readonly AssignedNetwork[]): readonly WireguardPeer[] {
  const peers = new Map<string, WireguardPeer>();
  for (const { wireguardPublicKey: publicKey, address } of networks.flatMap(({ peers: all }) => all)) {
    if (publicKey !== "") peers.set(publicKey, { publicKey, address });
  }
  return [...peers.values()].sort((a, b) => (a.publicKey < b.publicKey ? -1 : 1));
}
