import { type AssignedNetwork, parseAddressRange, parseIpv4 } from "@berth/proto";
import { VXLAN_PORT, vniOfTunnel } from "./devices.js";
import type { LinkStep } from "./network-step.js";
import type { ObservedLinks } from "./observed-state.js";
import { WIREGUARD_DEVICE } from "./wireguard.js";

// The kernel accepts VXLAN packets from any sender. These nftables rules accept packets of an unencrypted network only
// from the network's peers. Encrypted networks are bound to the WireGuard device.

/** The nftables table of the filter. */
export const VXLAN_TABLE = "inet berth-vxlan";
/** The number of a network in the VXLAN header, which follows the UDP header: 4 bytes after its start, 3 bytes long. */
const VNI_EXPRESSION = "@th,96,24";

/** The addresses that may send to each unencrypted network, by VNI. */
type SendersByVni = ReadonlyMap<number, readonly string[]>;

/** Plans the ruleset. This step must run before the steps of networks, which must not exist without their filter. */
export function planVxlanFilter(
  networks: readonly AssignedNetwork[],
  observed: ObservedLinks,
): readonly LinkStep[] {
  const ruleset = vxlanRuleset(senders(networks, observed));
  return ruleset === observed.vxlanFilter ? [] : [{ kind: "set-vxlan-filter", ruleset }];
}

/**
 * Returns the hosts that may send to each network. A network that is no longer assigned keeps its tunnel while
 * containers use it. Its senders are the hosts to which the tunnel sends.
 */
function senders(
  networks: readonly AssignedNetwork[],
  { links, floodPeers, vxlanFdb }: ObservedLinks,
): SendersByVni {
  const result = new Map<number, readonly string[]>();
  for (const { name, kind, boundDevice } of links.values()) {
    const vni = vniOfTunnel(name);
    if (kind !== "vxlan" || vni === undefined || boundDevice === WIREGUARD_DEVICE) continue;
    result.set(vni, [...(floodPeers.get(name) ?? []), ...(vxlanFdb.get(name)?.values() ?? [])]);
  }
  for (const { vni, spec, peers } of networks) {
    const addresses = peers.map(({ address }) => address);
    if (!spec?.encrypted) result.set(vni, addresses);
  }
  return result;
}

/**
 * Returns the ruleset; "" when there is no unencrypted network.
 *
 * - Priority -310 runs before all rules of other programs. The input hook sees packets after the kernel has reassembled
 *   their fragments, so that no packet hides its header.
 * - Packets that this host forwards to a peer are checked too. Otherwise, the peer would accept those of a container,
 *   because Docker replaces their source by this host's address.
 * - A sender's packets must arrive on the device through which this host reaches that sender, as with strict reverse
 *   path filtering (RFC 3704). Otherwise, a container could forge a peer's address.
 */
export function vxlanRuleset(sendersByVni: SendersByVni): string {
  if (sendersByVni.size === 0) return "";
  const vnis = [...sendersByVni.keys()].sort((a, b) => a - b);
  const pairs = vnis.flatMap((vni) => {
    const addresses = [...new Set(sendersByVni.get(vni))].filter(isAddress).sort();
    return addresses.map((address) => ({ isIpv6: address.includes(":"), element: `${vni} . ${address}` }));
  });
  const ipv4 = pairs.filter(({ isIpv6 }) => !isIpv6).map(({ element }) => element);
  const ipv6 = pairs.filter(({ isIpv6 }) => isIpv6).map(({ element }) => element);
  return `table ${VXLAN_TABLE} {
  set networks { typeof ${VNI_EXPRESSION};${elements(vnis.map(String))} }
  set peers4 { typeof ${VNI_EXPRESSION} . ip saddr;${elements(ipv4)} }
  set peers6 { typeof ${VNI_EXPRESSION} . ip6 saddr;${elements(ipv6)} }
  chain arriving {
    type filter hook input priority -310; policy accept;
    udp dport ${VXLAN_PORT} ${VNI_EXPRESSION} @networks goto senders
  }
  chain forwarded {
    type filter hook forward priority -310; policy accept;
    udp dport ${VXLAN_PORT} ${VNI_EXPRESSION} . ip daddr @peers4 goto senders
    udp dport ${VXLAN_PORT} ${VNI_EXPRESSION} . ip6 daddr @peers6 goto senders
  }
  chain senders {
    fib saddr . iif oif missing counter drop
    ${VNI_EXPRESSION} . ip saddr @peers4 accept
    ${VNI_EXPRESSION} . ip6 saddr @peers6 accept
    counter drop
  }
}
`;
}

/** Returns whether the text is an IP address. A peer's address becomes part of a script, so it must not be other text. */
function isAddress(text: string): boolean {
  if (parseIpv4(text) !== undefined) return true;
  return /^[0-9a-f:]+$/i.test(text) && parseAddressRange(text) !== undefined;
}

function elements(list: readonly string[]): string {
  return list.length === 0 ? "" : ` elements = { ${list.join(", ")} };`;
}
