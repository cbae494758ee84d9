import { parseIpv4, parseSubnet, subnetHas } from "@berth/proto";
import { bucketOf, rendezvous } from "../balancing/rendezvous.js";
import type { DnsIndex } from "./dns-index.js";
import type { DnsNetwork, DnsService } from "./dns-table.js";

/** Time to live of a virtual IP. It exists as long as its service, and is not reused for an hour after that. */
const VIP_TTL_S = 30;
/** Time to live of task addresses. Short, because tasks come and go. */
const TASK_TTL_S = 1;
/** The domain of full names: "api.shop.internal". It also has external names: "metadata.google.internal". */
const LOCAL_DOMAIN = "internal";
const ALL_TASKS = "tasks";
const REVERSE_SUFFIX = ".in-addr.arpa";

export interface Query {
  /** "A", "AAAA", "PTR", … */
  readonly type: string;
  /** The name as received, in any case. */
  readonly name: string;
  /** Source address of the query. */
  readonly from: string;
  /** Destination address of the query: the host's address in one of its networks. */
  readonly gateway: string;
}

export type Answer =
  /** Addresses, in the order in which the client should try them. */
  | { readonly kind: "addresses"; readonly ttlS: number; readonly addresses: readonly string[] }
  | { readonly kind: "name"; readonly ttlS: number; readonly name: string }
  /** The name exists, but has no records of this type. */
  | { readonly kind: "empty" }
  | { readonly kind: "unknown" }
  /** The name is external. The client's own servers answer it, or the host's when `servers` is empty. */
  | { readonly kind: "forward"; readonly servers: readonly string[] };

export interface LookupOptions {
  /** Returns a number from 0 up to 1, to shuffle addresses. */
  readonly random: () => number;
  /** Whether the kernel balances a virtual IP. Otherwise names resolve to the addresses of tasks. */
  readonly isVipActive: (vip: string) => boolean;
}

/**
 * Answers a query of a container from the DNS table.
 *
 * A client sees the services in its own networks: as "api" (name in the stack, full name or alias), "tasks.api" (all
 * tasks) and "2.api" (the task of a slot). The network or the stack may follow: "api.shop", "api.shop_default",
 * "tasks.api.shop.internal". The links of the client come first, as in Docker.
 *
 * A single-label name that does not exist is never forwarded: resolvers with search domains add a domain and ask again.
 * Addresses in the client's networks are not forwarded. A client that is only connected to internal networks gets no
 * query forwarded.
 */
export function lookup(index: DnsIndex, query: Query, options: LookupOptions): Answer {
  const name = query.name.toLowerCase().replace(/\.$/, "");
  const client = index.client(query.from);
  const networks = findNetworks(index, client?.networkIds, query.gateway);
  const isIsolated = networks.length > 0 && networks.every(({ isInternal }) => isInternal);
  const external: Answer = isIsolated ? { kind: "unknown" } : { kind: "forward", servers: client?.dns ?? [] };
  if (name.endsWith(REVERSE_SUFFIX)) {
    return lookupAddress(index, { name, type: query.type, networks, external });
  }
  const link = client?.links?.get(name);
  const target = findLinked(index, link, networks) ?? findTarget(index, name, networks);
  if (target === undefined) return name.includes(".") ? external : { kind: "unknown" };
  return query.type === "A" || query.type === "ANY"
    ? resolveTarget(target, query.from, options)
    : { kind: "empty" };
}

/**
 * Returns the client's networks. A container that berth did not create counts as in the network whose gateway it
 * queries.
 */
function findNetworks(
  index: DnsIndex,
  networkIds: readonly string[] | undefined,
  gateway: string,
): readonly DnsNetwork[] {
  const ids = networkIds ?? [index.networkOfGateway(gateway) ?? ""];
  return ids.map((id) => index.network(id)).filter((network) => network !== undefined);
}

/** The target of a name: services by virtual IP, all of their tasks, or the task of one slot. */
interface Target {
  readonly services: readonly DnsService[];
  readonly scope: "service" | "tasks" | { readonly slot: number };
}

function findTarget(index: DnsIndex, name: string, networks: readonly DnsNetwork[]): Target | undefined {
  const exactMatches = findServices(index, name, networks);
  if (exactMatches.length > 0) return { services: exactMatches, scope: "service" };
  const [, prefix = "", rest = ""] = /^([^.]+)\.(.+)$/.exec(name) ?? [];
  const scope = parseTaskScope(prefix);
  if (scope === undefined) return undefined;
  const services = findServices(index, rest, networks);
  return services.length > 0 ? { services, scope } : undefined;
}

/** Finds the target of a link: a name in the client's networks, or a container as Docker Compose names it. */
function findLinked(
  index: DnsIndex,
  name: string | undefined,
  networks: readonly DnsNetwork[],
): Target | undefined {
  if (name === undefined) return undefined;
  for (const candidate of [name, ...taskNames(name)]) {
    const target = findTarget(index, candidate, networks);
    if (target !== undefined) return target;
  }
  return undefined;
}

/**
 * Returns the tasks that a container of Docker Compose can be: "shop-db-2" is "2.shop_db". Compose separates the parts by
 * "-" or, in its first version, by "_", which the names of stacks and services can have too.
 */
function taskNames(container: string): readonly string[] {
  const [, service = "", slot = ""] = /^(.+)[-_]([1-9]\d{0,8})$/.exec(container) ?? [];
  const separators = [...service.matchAll(/[-_]/g)].map(({ index }) => index);
  return separators.map((at) => `${slot}.${service.slice(0, at)}_${service.slice(at + 1)}`);
}

/** Parses the first label of a name that selects tasks: "tasks", or the number of a slot. */
function parseTaskScope(label: string): "tasks" | { readonly slot: number } | undefined {
  if (label === ALL_TASKS) return "tasks";
  return /^[1-9]\d{0,8}$/.test(label) ? { slot: Number(label) } : undefined;
}

/** Searches the networks in the client's order of preference, as Docker does. The first network with the name wins. */
function findServices(index: DnsIndex, name: string, networks: readonly DnsNetwork[]): readonly DnsService[] {
  for (const network of networks) {
    const exact = index.find(network.id, name);
    if (exact.length > 0) return exact;
  }
  for (const network of networks) {
    const qualified = findQualified(index, name, network);
    if (qualified.length > 0) return qualified;
  }
  return [];
}

/** Finds "api.shop_default", "api.default", "api.shop" and "api.shop.internal". */
function findQualified(index: DnsIndex, name: string, network: DnsNetwork): readonly DnsService[] {
  const local = name.endsWith(`.${LOCAL_DOMAIN}`) ? name.slice(0, -LOCAL_DOMAIN.length - 1) : name;
  for (const suffix of networkSuffixes(network)) {
    if (!local.endsWith(`.${suffix}`)) continue;
    const matchedService = index.find(network.id, local.slice(0, -suffix.length - 1));
    if (matchedService.length > 0) return matchedService;
  }
  const dot = local.lastIndexOf(".");
  if (dot < 0) return [];
  const [service, stack] = [local.slice(0, dot), local.slice(dot + 1)];
  return index.find(network.id, service).filter((candidate) => candidate.stack.toLowerCase() === stack);
}

/** Returns the network's full name, and its name within the stack. */
function networkSuffixes({ name, stack }: DnsNetwork): readonly string[] {
  const full = name.toLowerCase();
  const prefix = `${stack.toLowerCase()}_`;
  return stack !== "" && full.startsWith(prefix) ? [full, full.slice(prefix.length)] : [full];
}

function resolveTarget(
  { services, scope }: Target,
  from: string,
  { random, isVipActive }: LookupOptions,
): Answer {
  const vips = services.map(({ vip }) => vip).filter((vip) => vip !== "" && isVipActive(vip));
  if (scope === "service" && vips.length === services.length) {
    return { kind: "addresses", ttlS: VIP_TTL_S, addresses: vips };
  }
  const endpoints = services.flatMap((service) => service.endpoints);
  const selected =
    typeof scope === "object" ? endpoints.filter(({ slot }) => slot === scope.slot) : endpoints;
  if (selected.length === 0) return typeof scope === "object" ? { kind: "unknown" } : { kind: "empty" };
  const addresses = shuffle(
    selected.map(({ address }) => address),
    random,
  );
  const hasAffinity = services.every(({ hasSourceAffinity }) => hasSourceAffinity === true);
  return {
    kind: "addresses",
    ttlS: TASK_TTL_S,
    addresses: hasAffinity ? moveAffineFirst(addresses, from) : addresses,
  };
}

/** Moves the address that source affinity selects for a client to the front. */
function moveAffineFirst(addresses: readonly string[], client: string): readonly string[] {
  const affine = rendezvous(
    bucketOf(client),
    addresses.map((id) => ({ id })),
  );
  return affine === undefined
    ? addresses
    : [affine.id, ...addresses.filter((address) => address !== affine.id)];
}

/**
 * Returns the items in random order (Fisher-Yates). Most clients use the first address, so the order spreads the load.
 */
function shuffle(items: readonly string[], random: () => number): readonly string[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last -= 1) {
    const pick = Math.floor(random() * (last + 1));
    const [a = "", b = ""] = [result[last], result[pick]];
    result[last] = b;
    result[pick] = a;
  }
  return result;
}

interface ReverseQuery {
  readonly name: string;
  readonly type: string;
  readonly networks: readonly DnsNetwork[];
  readonly external: Answer;
}

/** Answers queries such as "2.1.64.10.in-addr.arpa" with the name of the service or task. */
function lookupAddress(index: DnsIndex, { name, type, networks, external }: ReverseQuery): Answer {
  const address = name.slice(0, -REVERSE_SUFFIX.length).split(".").reverse().join(".");
  const entry = index.reverse(address);
  if (entry === undefined || !networks.some(({ id }) => id === entry.networkId)) {
    return networks.some(({ subnet }) => isInSubnet(subnet, address)) ? { kind: "unknown" } : external;
  }
  return type === "PTR" || type === "ANY"
    ? { kind: "name", ttlS: TASK_TTL_S, name: entry.name }
    : { kind: "empty" };
}

/**
 * Returns whether the server answers an address of another host or container: of a container that berth created, or of
 * any other member of the network whose gateway was queried. The kernel also delivers what a neighbor routes to a gateway.
 */
export function mayQuery(index: DnsIndex, { from, gateway }: Pick<Query, "from" | "gateway">): boolean {
  if (index.client(from) !== undefined) return true;
  const network = index.network(index.networkOfGateway(gateway) ?? "");
  return network !== undefined && isInSubnet(network.subnet, from);
}

function isInSubnet(subnetText: string, addressText: string): boolean {
  const [subnet, address] = [parseSubnet(subnetText), parseIpv4(addressText)];
  return subnet !== undefined && address !== undefined && subnetHas(subnet, address);
}
