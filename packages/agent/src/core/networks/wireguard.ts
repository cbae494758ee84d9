import { type AssignedNetwork, parseIpv4 } from "@berth/proto";
import { WIREGUARD_OVERHEAD_BYTES } from "./devices.js";
import type { LinkStep } from "./network-step.js";
import type { ObservedLinks, ObservedWireguard } from "./observed-state.js";
import type { NetworkHost } from "./plan-network.js";

/** The WireGuard device of a host. All encrypted networks share it. */
export const WIREGUARD_DEVICE = "berthwg";
/** UDP port of WireGuard on every host. */
export const WIREGUARD_PORT = 7_403;
/**
 * Prefix of the hosts' addresses inside WireGuard; the host's IPv4 address follows. The kernel binds a VXLAN device to
 * its underlay device only for link-local addresses (RFC 4291 §2.5.6). With other addresses, packets would leave
 * through any other route when that of WireGuard is gone, and packets from any device would be accepted.
 */
const INNER_PREFIX = "fe80::";
export const INNER_PREFIX_BITS = 64;

/** 32 bytes in Base64. A single invalid key makes `wg` reject a whole configuration. */
const KEY_PATTERN = /^[A-Za-z0-9+/]{43}=$/;

/** Returns whether the text is a WireGuard key. False for "", which hosts without a key report. */
export function isWireguardKey(text: string): boolean {
  return KEY_PATTERN.test(text);
}

export interface WireguardPeer {
  readonly publicKey: string;
  /** The host's IPv4 address in the underlay network. */
  readonly address: string;
}

/** Returns a host's address inside WireGuard. Only that host can send packets from it. */
export function innerAddress(address: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
  return `${INNER_PREFIX}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

/** Returns whether an address is one that {@link innerAddress} returns. */
export function isInnerAddress(address: string): boolean {
  return address.startsWith(INNER_PREFIX);
}

/**
 * Returns the input of `wg syncconf`. Each peer can send only from its own inner address.
 *
 * @throws Error if a key or an address is arbitrary text, which could add lines
 */
export function wireguardConfig(privateKey: string, peers: readonly WireguardPeer[]): string {
  for (const { publicKey, address } of peers) {
    if (isWireguardKey(publicKey) && parseIpv4(address) !== undefined) continue;
    throw new Error(`invalid WireGuard peer ${JSON.stringify(publicKey)} at ${JSON.stringify(address)}`);
  }
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

/**
 * Plans the WireGuard device and its peers, which are the hosts of all encrypted networks. Returns no steps when this host
 * cannot encrypt.
 */
export function planWireguard(
  networks: readonly AssignedNetwork[],
  { links, wireguard, uplinkMtu }: ObservedLinks,
  { address, encryptionProblem, wireguardPublicKey }: NetworkHost,
): readonly LinkStep[] {
  const encrypted = networks.filter(({ spec }) => spec?.encrypted);
  if (encryptionProblem !== "" || uplinkMtu === 0) return [];
  const link = links.get(WIREGUARD_DEVICE);
  if (encrypted.length === 0) {
    // Containers may still use a network that is about to be removed. Its tunnel depends on the device.
    const isInUse = [...links.values()].some(({ boundDevice }) => boundDevice === WIREGUARD_DEVICE);
    return link === undefined || isInUse ? [] : [{ kind: "delete-link", device: WIREGUARD_DEVICE }];
  }
  const [inner, mtu] = [innerAddress(address), uplinkMtu - WIREGUARD_OVERHEAD_BYTES];
  const isUp = link?.isUp && link.mtu === mtu && link.addresses.includes(inner);
  const peers = peersOf(encrypted);
  const isConfigured = wireguard !== undefined && hasPeers(wireguard, wireguardPublicKey, peers);
  return [
    ...(link === undefined ? [{ kind: "add-wireguard" } as const] : []),
    ...(isConfigured ? [] : [{ kind: "set-wireguard-peers", peers } as const]),
    ...(isUp ? [] : [{ kind: "bring-up-wireguard", inner, mtu } as const]),
  ];
}

/**
 * Returns whether the device has this key and exactly these peers. Endpoints are not compared: WireGuard updates the
 * endpoint of a peer behind NAT itself.
 */
function hasPeers(
  { publicKey, port, peers: currentPeers }: ObservedWireguard,
  desiredPublicKey: string,
  desiredPeers: readonly WireguardPeer[],
): boolean {
  return (
    publicKey === desiredPublicKey &&
    port === WIREGUARD_PORT &&
    currentPeers.size === desiredPeers.length &&
    desiredPeers.every((peer) => {
      const { allowedIps, endpoint } = currentPeers.get(peer.publicKey) ?? { allowedIps: "", endpoint: "" };
      return allowedIps === allowedIpsOf(peer) && endpoint !== "(none)";
    })
  );
}

const allowedIpsOf = ({ address }: WireguardPeer): string => `${innerAddress(address)}/128`;

/**
 * Returns the peers with valid keys and addresses, in a fixed order. WireGuard accepts one peer for each key and for
 * each address; the last one wins. Other peers are left out, so that they do not prevent encryption between the other
 * hosts.
 */
function peersOf(networks: readonly AssignedNetwork[]): readonly WireguardPeer[] {
  const byKey = new Map<string, WireguardPeer>();
  for (const { wireguardPublicKey: publicKey, address } of networks.flatMap(({ peers }) => peers)) {
    // A later entry for the same key also takes the later position, which decides between equal addresses below.
    byKey.delete(publicKey);
    if (isWireguardKey(publicKey) && parseIpv4(address) !== undefined) {
      byKey.set(publicKey, { publicKey, address });
    }
  }
  const byAddress = new Map([...byKey.values()].map((peer) => [peer.address, peer]));
  return [...byAddress.values()].sort((a, b) => (a.publicKey < b.publicKey ? -1 : 1));
}
