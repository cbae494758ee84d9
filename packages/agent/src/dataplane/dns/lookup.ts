import { parseIpv4, parseSubnet, subnetHas } from "@berth/proto";
import { bucketOf, rendezvous } from "../balancing/rendezvous.js";
import type { DnsNetwork, DnsService } from "./dns-table.js";
import type { DnsIndex } from "./name-index.js";

/** A virtual IP stays as long as its service does, and is given to no other for an hour after. */
const VIP_TTL_S = 30;
/** Tasks come and go: whoever asks for them wants those of now. */
const TASK_TTL_S = 1;
/** What a full name may end in: "api.shop.internal". Others have names there, too: "metadata.google.internal". */
const LOCAL_DOMAIN = "internal";
const ALL_TASKS = "tasks";
const REVERSE_SUFFIX = ".in-addr.arpa";

export interface Query {
  /** "A", "AAAA", "PTR", … */
  readonly type: string;
  /** As it was asked: case does not matter. */
  readonly name: string;
  /** Where the question comes from. */
  readonly from: string;
  /** The address that it was sent to: the host's own in some network. */
  readonly gateway: string;
}

export type Answer =
  /** In this order. */
  | { readonly kind: "addresses"; readonly ttlS: number; readonly addresses: readonly string[] }
  | { readonly kind: "name"; readonly ttlS: number; readonly name: string }
  /** The name is ours, but it has nothing of this type. */
  | { readonly kind: "empty" }
  | { readonly kind: "unknown" }
  /** Not ours: ask others. `servers`: those that the asker's service wants; none: the host's. */
  | { readonly kind: "forward"; readonly servers: readonly string[] };

export interface ResolveOptions {
  /** From 0 up to 1: where a list of tasks begins. */
  readonly random: () => number;
  /** Whether the kernel of this host balances a virtual IP. If not, names stand for the tasks' own addresses. */
  readonly isVipActive: (vip: string) => boolean;
}

/**
 * What a name means to whoever asks. Only services in the asker's networks have names for it: "api" (its name in the
 * stack, its full name, an alias), "tasks.api" (all tasks), "2.api" (of one slot), each also with the network's or the
 * stack's name behind it ("api.shop", "api.shop_default", "tasks.api.shop.internal").
 *
 * A plain name that nobody has is unknown, and nobody outside is asked for it: a resolver with search domains has
 * tried or will try these by itself. Neither is anybody asked whose an address of the asker's networks is, and
 * nobody at all for an asker that is in internal networks alone.
 */
export function resolve(index: DnsIndex, query: Query, options: ResolveOptions): Answer {
  const name = query.name.toLowerCase().replace(/\.$/, "");
  const asker = index.client(query.from);
  const scope = scopeOf(index, asker?.networkIds, query.gateway);
  const isEnclosed = scope.length > 0 && scope.every(({ isInternal }) => isInternal);
  const outside: Answer = isEnclosed ? { kind: "unknown" } : { kind: "forward", servers: asker?.dns ?? [] };
  if (name.endsWith(REVERSE_SUFFIX)) return reverse(index, { name, type: query.type, scope, outside });
  const target = find(index, name, scope);
  if (target === undefined) {
    return name.includes(".") ? outside : { kind: "unknown" };
  }
  return query.type === "A" || query.type === "ANY"
    ? addressesOf(target, { ...options, from: query.from })
    : { kind: "empty" };
}

/** Networks of a container, or, of one that berth did not make, the network through which it asks. */
function scopeOf(
  index: DnsIndex,
  networkIds: readonly string[] | undefined,
  gateway: string,
): readonly DnsNetwork[] {
  const ids = networkIds ?? [index.networkOfGateway(gateway) ?? ""];
  return ids.map((id) => index.network(id)).filter((network) => network !== undefined);
}

interface Target {
  readonly services: readonly DnsService[];
  readonly of: "service" | "tasks" | { readonly slot: number };
}

function find(index: DnsIndex, name: string, scope: readonly DnsNetwork[]): Target | undefined {
  const direct = findService(index, name, scope);
  if (direct.length > 0) return { services: direct, of: "service" };
  const [, prefix = "", rest = ""] = /^([^.]+)\.(.+)$/.exec(name) ?? [];
  const of =
    prefix === ALL_TASKS ? "tasks" : /^[1-9]\d{0,8}$/.test(prefix) ? { slot: Number(prefix) } : undefined;
  if (of === undefined) return undefined;
  const services = findService(index, rest, scope);
  return services.length > 0 ? { services, of } : undefined;
}

/** The first network of the asker that has the name counts, as with Docker. */
function findService(index: DnsIndex, name: string, scope: readonly DnsNetwork[]): readonly DnsService[] {
  for (const network of scope) {
    const exact = index.find(network.id, name);
    if (exact.length > 0) return exact;
  }
  for (const network of scope) {
    const qualified = findQualified(index, name, network);
    if (qualified.length > 0) return qualified;
  }
  return [];
}

/** "api.shop_default", "api.default", "api.shop", "api.shop.internal" */
function findQualified(index: DnsIndex, name: string, network: DnsNetwork): readonly DnsService[] {
  const short = name.endsWith(`.${LOCAL_DOMAIN}`) ? name.slice(0, -LOCAL_DOMAIN.length - 1) : name;
  for (const suffix of namesOf(network)) {
    if (short.endsWith(`.${suffix}`)) {
      const found = index.find(network.id, short.slice(0, -suffix.length - 1));
      if (found.length > 0) return found;
    }
  }
  const dot = short.lastIndexOf(".");
  if (dot < 0) return [];
  const [service, stack] = [short.slice(0, dot), short.slice(dot + 1)];
  return index.find(network.id, service).filter((one) => one.stack.toLowerCase() === stack);
}

function namesOf({ name, stack }: DnsNetwork): readonly string[] {
  const full = name.toLowerCase();
  const prefix = `${stack.toLowerCase()}_`;
  return stack !== "" && full.startsWith(prefix) ? [full, full.slice(prefix.length)] : [full];
}

function addressesOf(
  { services, of }: Target,
  { random, isVipActive, from }: ResolveOptions & Pick<Query, "from">,
): Answer {
  const vips = services.map(({ vip }) => vip).filter((vip) => vip !== "" && isVipActive(vip));
  if (of === "service" && vips.length === services.length) {
    return { kind: "addresses", ttlS: VIP_TTL_S, addresses: vips };
  }
  const endpoints = services.flatMap((service) => service.endpoints);
  const wanted = typeof of === "object" ? endpoints.filter(({ slot }) => slot === of.slot) : endpoints;
  if (wanted.length === 0) return typeof of === "object" ? { kind: "unknown" } : { kind: "empty" };
  const own = services.every(({ hasSourceAffinity }) => hasSourceAffinity === true)
    ? rendezvous(
        bucketOf(from),
        wanted.map(({ address: id }) => ({ id })),
      )?.id
    : undefined;
  const others = wanted.map(({ address }) => address).filter((address) => address !== own);
  const addresses = [...(own === undefined ? [] : [own]), ...shuffled(others, random)];
  return { kind: "addresses", ttlS: TASK_TTL_S, addresses };
}

/** Fisher and Yates: most clients take the first address. */
function shuffled(items: readonly string[], random: () => number): readonly string[] {
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
  readonly scope: readonly DnsNetwork[];
  readonly outside: Answer;
}

function reverse(index: DnsIndex, { name, type, scope, outside }: ReverseQuery): Answer {
  const address = name.slice(0, -REVERSE_SUFFIX.length).split(".").reverse().join(".");
  const owner = index.whose(address);
  if (owner === undefined || !scope.some(({ id }) => id === owner.networkId)) {
    return scope.some(({ subnet }) => holds(subnet, address)) ? { kind: "unknown" } : outside;
  }
  return type === "PTR" || type === "ANY"
    ? { kind: "name", ttlS: TASK_TTL_S, name: owner.name }
    : { kind: "empty" };
}

function holds(subnetText: string, addressText: string): boolean {
  const [subnet, address] = [parseSubnet(subnetText), parseIpv4(addressText)];
  return subnet !== undefined && address !== undefined && subnetHas(subnet, address);
}
