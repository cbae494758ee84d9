import { parseSubnet, type Subnet, subnetsOverlap, subnetText } from "@berth/proto";
import { readField, readList, readString } from "../docker/json.js";
import { isBridgeName } from "./devices.js";

/** A subnet that this host reaches through one of its devices. */
export interface HostRoute {
  readonly subnet: Subnet;
  /** "" for a route through several gateways. */
  readonly device: string;
  /** Whether the subnet is directly connected, without a gateway in between. */
  readonly isDirect: boolean;
}

const HOST_PREFIX = 32;
/** Maximum prefix length of a default route. A VPN overrides the default route with two routes of this length. */
const MAX_DEFAULT_PREFIX = 1;
/**
 * Maximum number of subnets in a node description, to limit its size. A host with many Docker bridges has a few dozen.
 */
const MAX_REPORTED_SUBNETS = 64;

/**
 * Parses `ip -json route show table all` and the addresses of `ip -json address show`. Excludes IPv6 routes and those
 * of overlay networks, since the leader already checks overlay networks against each other.
 */
export function parseRoutes(routes: unknown, addresses: unknown): readonly HostRoute[] {
  return [...readList(routes).flatMap(parseRoute), ...readList(addresses).flatMap(parseAddresses)];
}

function parseRoute(json: unknown): readonly HostRoute[] {
  const type = readString(readField(json, "type"));
  const device = readString(readField(json, "dev"));
  const subnet = parseDestination(readString(readField(json, "dst")));
  const isUnicast = type === "" || type === "unicast";
  if (!isUnicast || isBridgeName(device) || subnet === undefined || subnet.prefix <= MAX_DEFAULT_PREFIX) {
    return [];
  }
  const gateways = ["gateway", "via", "nexthops"].map((key) => readField(json, key));
  return [{ subnet, device, isDirect: gateways.every((gateway) => gateway === undefined) }];
}

function parseAddresses(link: unknown): readonly HostRoute[] {
  const device = readString(readField(link, "ifname"));
  if (isBridgeName(device)) return [];
  return readList(readField(link, "addr_info")).flatMap((info) => {
    const subnet = parseDestination(readString(readField(info, "local")));
    return subnet === undefined ? [] : [{ subnet, device, isDirect: true }];
  });
}

/** Parses a subnet, or an address as a subnet of one host. Returns undefined for "default" and for IPv6. */
const parseDestination = (text: string): Subnet | undefined =>
  parseSubnet(text.includes("/") ? text : `${text}/${HOST_PREFIX}`);

/**
 * Returns a route that conflicts with a network: a directly connected subnet that overlaps it, or any route to a part
 * of it, which would take precedence. A less specific route through a gateway, such as the default route, does not
 * conflict.
 */
export function conflictingRoute(subnet: Subnet, routes: readonly HostRoute[]): HostRoute | undefined {
  return routes.find(
    (route) =>
      subnetsOverlap(route.subnet, subnet) && (route.isDirect || route.subnet.prefix >= subnet.prefix),
  );
}

/** Returns the directly connected subnets, which the leader does not allocate to networks. Sorted, at most 64. */
export function directSubnets(routes: readonly HostRoute[]): string[] {
  const direct = routes.filter(({ isDirect, subnet }) => isDirect && subnet.prefix < HOST_PREFIX);
  return [...new Set(direct.map(({ subnet }) => subnetText(subnet)))].sort().slice(0, MAX_REPORTED_SUBNETS);
}
