import { parseSubnet, type Subnet, subnetsOverlap, subnetText } from "@berth/proto";
import { fieldOf, listOf, textOf } from "../docker/json.js";
import { isBridgeName } from "./devices.js";

/** What this host reaches by one of its devices. */
export interface HostRoute {
  readonly subnet: Subnet;
  readonly device: string;
  /** What is there are neighbours: no gateway is between. */
  readonly isDirect: boolean;
}

const SINGLE = 32;
/** The default route, or halves of it, as tunnels set them to be asked first. */
const MAX_DEFAULT_PREFIX = 1;
/** Local networks of Docker count, too; a host has a handful. */
const MAX_TOLD = 64;

/**
 * Parses `ip -json -4 route show table all` and the addresses of `ip -json address show`. Devices of networks that
 * span hosts are left out: they are what is compared with the rest.
 */
export function parseRoutes(routes: unknown, addresses: unknown): readonly HostRoute[] {
  return [...listOf(routes).flatMap(routeOf), ...listOf(addresses).flatMap(addressesOf)];
}

function routeOf(json: unknown): readonly HostRoute[] {
  const type = textOf(fieldOf(json, "type"));
  const device = textOf(fieldOf(json, "dev"));
  const subnet = blockOf(textOf(fieldOf(json, "dst")));
  const isUsual = type === "" || type === "unicast";
  if (!isUsual || isBridgeName(device) || subnet === undefined || subnet.prefix <= MAX_DEFAULT_PREFIX) {
    return [];
  }
  const ways = ["gateway", "via", "nexthops"].map((key) => fieldOf(json, key));
  return [{ subnet, device, isDirect: ways.every((way) => way === undefined) }];
}

function addressesOf(link: unknown): readonly HostRoute[] {
  const device = textOf(fieldOf(link, "ifname"));
  if (isBridgeName(device)) return [];
  return listOf(fieldOf(link, "addr_info")).flatMap((info) => {
    const subnet = blockOf(textOf(fieldOf(info, "local")));
    return subnet === undefined ? [] : [{ subnet, device, isDirect: true }];
  });
}

const blockOf = (text: string): Subnet | undefined =>
  parseSubnet(text.includes("/") ? text : `${text}/${SINGLE}`);

/**
 * What of a host is in the way of a network: a neighbourhood that overlaps it, or any route into it, which would win
 * over the network's own. A wider route through a gateway is not: it is as the default route, and loses.
 */
export function routeInTheWay(subnet: Subnet, routes: readonly HostRoute[]): HostRoute | undefined {
  return routes.find(
    (route) =>
      subnetsOverlap(route.subnet, subnet) && (route.isDirect || route.subnet.prefix >= subnet.prefix),
  );
}

/** The subnets that a host is in, for the leader. */
export function neighbourhoods(routes: readonly HostRoute[]): string[] {
  const direct = routes.filter(({ isDirect, subnet }) => isDirect && subnet.prefix < SINGLE);
  return [...new Set(direct.map(({ subnet }) => subnetText(subnet)))].sort().slice(0, MAX_TOLD);
}
