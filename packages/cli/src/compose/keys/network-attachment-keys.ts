import { NetworkAttachment, parseIpv4, parseSubnet, subnetHas } from "@berth/proto";
import { didYouMean } from "../text/suggest.js";
import type { StackNetwork } from "../translate-networks.js";
import { type Cursor, keyPlace, readInteger, readReferences, readText, readTexts } from "../tree/cursor.js";
import { applyKeys } from "../tree/key-table.js";
import { isNull } from "../tree/node.js";
import { ignoreWithWarning } from "./not-supported.js";
import { type KeyTable, rule, type ServiceDraft } from "./service-draft.js";

/** A network that a service joins, as far as it has been read. */
export interface JoinedNetwork {
  /** Under which the file has it. */
  readonly key: string;
  readonly network: StackNetwork;
  readonly attachment: NetworkAttachment;
  /** The service lists it. */
  readonly isNamed: boolean;
  gatewayPriority: number;
  priority: number;
}

export const DEFAULT_NETWORK = "default";
const PRIORITY = { min: -1_000_000, max: 1_000_000 };

const ATTACHMENT_KEYS: KeyTable<JoinedNetwork> = {
  aliases: rule(readTexts, ({ attachment }, aliases) => {
    attachment.aliases.push(...aliases);
  }),
  ipv4_address: readAddress,
  priority: rule(
    (cursor) => readInteger(cursor, PRIORITY),
    (joined, priority) => {
      joined.priority = priority;
    },
  ),
  gw_priority: rule(
    (cursor) => readInteger(cursor, PRIORITY),
    (joined, priority) => {
      joined.gatewayPriority = priority;
    },
  ),
  ipv6_address: ignoreWithWarning("networks have no IPv6 addresses"),
  link_local_ips: ignoreWithWarning("link_local_ips of a network has no effect"),
  mac_address: ignoreWithWarning("Docker picks the address"),
  driver_opts: ignoreWithWarning("driver_opts of a service's network has no effect"),
  interface_name: ignoreWithWarning("Docker names the interface"),
};

/** `networks:` of a service: a list of names, or a mapping that says more of each. */
export function readNetworks(cursor: Cursor, draft: ServiceDraft): void {
  for (const [key, reference] of readReferences(cursor)) {
    const network = draft.context.networks.get(key);
    if (network === undefined) {
      const known = draft.context.networks.keys();
      const message = `there is no network ${JSON.stringify(key)} under networks:${didYouMean(key, known)}`;
      reference.diagnostics.error(keyPlace(reference), message);
      continue;
    }
    if (draft.networks.some((other) => other.key === key)) continue;
    const joined = newJoinedNetwork(key, network, true);
    if (reference.node.kind === "map" && !isNull(reference.node))
      applyKeys(reference, ATTACHMENT_KEYS, joined);
    draft.networks.push(joined);
    draft.attachmentPlaces.set(network.name, keyPlace(reference));
  }
}

export function newJoinedNetwork(key: string, network: StackNetwork, isNamed: boolean): JoinedNetwork {
  const attachment = NetworkAttachment.fromPartial({ network: network.name });
  return { key, network, attachment, isNamed, gatewayPriority: 0, priority: 0 };
}

function readAddress(cursor: Cursor, { key, network, attachment }: JoinedNetwork): void {
  const text = readText(cursor);
  if (text === undefined) return;
  const address = parseIpv4(text);
  const subnet = parseSubnet(network.spec.subnet);
  const say = (problem: string): void => void cursor.diagnostics.error(cursor, problem);
  if (address === undefined) say(`${JSON.stringify(text)} is not an IPv4 address`);
  else if (network.isExternal) attachment.ipv4Address = text;
  else if (subnet === undefined) say(`the network ${key} has no subnet of its own: give it one under ipam`);
  else if (!subnetHas(subnet, address)) say(`${text} is not in ${network.spec.subnet}, the subnet of ${key}`);
  else attachment.ipv4Address = text;
}

/**
 * The networks of a service in the order in which its container joins them: the first one has its default route, so
 * those without a way out come last.
 */
export function byDefaultRoute(joined: readonly JoinedNetwork[]): readonly JoinedNetwork[] {
  return [...joined].sort(
    (a, b) =>
      Number(a.network.spec.internal) - Number(b.network.spec.internal) ||
      b.gatewayPriority - a.gatewayPriority ||
      b.priority - a.priority,
  );
}
