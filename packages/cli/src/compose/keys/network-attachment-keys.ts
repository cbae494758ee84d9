import { NetworkAttachment, parseIpv4, parseSubnet, subnetHas } from "@berth/proto";
import { type Cursor, keyPlace, listFields, readInteger, readText, readTexts } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { isNull } from "../tree/node.js";
import type { JoinedNetwork, ServiceDraft } from "./service-draft.js";
import type { StackNetwork } from "./stack-context.js";
import { ignoreWithWarning } from "./unsupported-keys.js";

/** Reason why IPv6 settings have no effect. */
export const NO_IPV6_MESSAGE =
  "networks that span hosts support IPv4 only, so containers have no IPv6 addresses in them; published ports accept IPv6 clients";
const PRIORITY_RANGE = { min: -1_000_000, max: 1_000_000 };

const ATTACHMENT_KEYS: KeyTable<JoinedNetwork> = {
  aliases: rule(readTexts, ({ attachment }, aliases) => {
    attachment.aliases.push(...aliases);
  }),
  ipv4_address: readAddress,
  priority: rule(
    (cursor) => readInteger(cursor, PRIORITY_RANGE),
    (joined, priority) => {
      joined.priority = priority;
    },
  ),
  gw_priority: rule(
    (cursor) => readInteger(cursor, PRIORITY_RANGE),
    (joined, priority) => {
      joined.gatewayPriority = priority;
    },
  ),
  ipv6_address: ignoreWithWarning(`ignored: ${NO_IPV6_MESSAGE}`),
  link_local_ips: rule(readTexts, ({ attachment }, addresses) => {
    attachment.linkLocalIps = [...addresses];
  }),
  mac_address: rule(readText, ({ attachment }, address) => {
    attachment.macAddress = address.toLowerCase().replaceAll("-", ":");
  }),
  driver_opts: ignoreWithWarning("ignored: these are options of a Docker driver that berth does not use"),
  interface_name: rule(readText, ({ attachment }, name) => {
    attachment.interfaceName = name;
  }),
};

/** Reads the `networks` of a service. */
export function readNetworks(cursor: Cursor, draft: ServiceDraft): void {
  for (const [key, reference] of listFields(cursor)) {
    const network = draft.context.networks.get(key);
    // A reference to an undeclared network has already been reported.
    if (network === undefined) continue;
    const joined = newJoinedNetwork(key, network, reference.node.isImplied !== true);
    if (!isNull(reference.node)) applyKeys(reference, ATTACHMENT_KEYS, joined);
    draft.networks.push(joined);
    draft.networkPlaces.set(network.name, keyPlace(reference));
  }
}

/** Creates the draft of an attachment with default settings. */
export function newJoinedNetwork(key: string, network: StackNetwork, isExplicit: boolean): JoinedNetwork {
  const attachment = NetworkAttachment.fromPartial({ network: network.name });
  return { key, network, attachment, isExplicit, gatewayPriority: 0, priority: 0 };
}

function readAddress(cursor: Cursor, { key, network, attachment }: JoinedNetwork): void {
  const text = readText(cursor);
  if (text === undefined) return;
  const address = parseIpv4(text);
  const subnet = parseSubnet(network.spec.subnet);
  const report = (problem: string): void => void cursor.diagnostics.error(cursor, problem);
  if (address === undefined) {
    report(`${JSON.stringify(text)} is not an IPv4 address`);
  } else if (network.isExternal) {
    attachment.ipv4Address = text;
  } else if (subnet === undefined) {
    report(`the network ${key} has no subnet; set one under its ipam`);
  } else if (!subnetHas(subnet, address)) {
    report(`${text} is not in ${network.spec.subnet}, the subnet of ${key}`);
  } else {
    attachment.ipv4Address = text;
  }
}

/**
 * Sorts networks in the order in which a container joins them. The first network provides the default route, so
 * internal networks come last.
 */
export function sortByDefaultRoute(joined: readonly JoinedNetwork[]): readonly JoinedNetwork[] {
  return [...joined].sort(
    (a, b) =>
      Number(a.network.spec.internal) - Number(b.network.spec.internal) ||
      b.gatewayPriority - a.gatewayPriority ||
      b.priority - a.priority,
  );
}
