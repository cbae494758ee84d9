import { BerthError, type Network, type Node, type Server, type Service, type Task } from "@berth/proto";
import { hostOfAddress, isRemoved } from "../core/membership/server-records.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Maximum number of names in one error message, which then fits on two lines. */
const MAX_LISTED = 8;

/**
 * Finds a service by ID, full name or unique ID prefix.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findService(state: ClusterState, reference: string): Service {
  const exact = state.services.get(reference) ?? state.services.byName(reference);
  if (exact !== undefined) return exact;
  return findByPrefix(state.services.values(), {
    noun: "service",
    reference,
    nameOf: (service) => service.spec?.name ?? "",
  });
}

/**
 * Finds a network by ID, full name or unique ID prefix.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findNetwork(state: ClusterState, reference: string): Network {
  const exact = state.networks.get(reference) ?? state.networks.byName(reference);
  if (exact !== undefined) return exact;
  return findByPrefix(state.networks.values(), {
    noun: "network",
    reference,
    nameOf: (network) => network.spec?.name ?? "",
  });
}

/**
 * Finds a node by ID, hostname or unique ID prefix.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findNode(state: ClusterState, reference: string): Node {
  const exact = state.nodes.get(reference);
  if (exact !== undefined) return exact;
  const query = { noun: "node", reference, nameOf: hostnameOf };
  const matches = [...state.nodes.values()].filter((node) => hostnameOf(node) === reference);
  // A node without a hostname must not match an empty reference.
  if (reference === "" || matches.length === 0) return findByPrefix(state.nodes.values(), query);
  return requireOneMatch(matches, query);
}

/**
 * Finds a server by ID, hostname, address or unique ID prefix. Finds a removed server only by its ID.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findServer(state: Pick<ClusterState, "servers">, reference: string): Server {
  const exact = state.servers.get(reference);
  if (exact !== undefined) return exact;
  const servers = [...state.servers.values()].filter((server) => !isRemoved(server));
  const query = { noun: "server", reference, nameOf: ({ hostname }: Server) => hostname };
  const matches = servers.filter(({ hostname, address }) =>
    [hostname, address, hostOfAddress(address)].includes(reference),
  );
  if (reference === "" || matches.length === 0) return findByPrefix(servers, query);
  return requireOneMatch(matches, query);
}

/**
 * Finds a task by ID or unique ID prefix. Returns undefined if none matches.
 *
 * @throws BerthError BERTH_AMBIGUOUS
 */
export function findTask(state: ClusterState, reference: string): Task | undefined {
  const exact = state.tasks.get(reference);
  if (exact !== undefined) return exact;
  const matches = [...state.tasks.values()].filter((task) => task.id.startsWith(reference));
  const nameOf = (task: Task): string => `${task.serviceName}.${task.slot}`;
  return matches.length === 0 ? undefined : requireOneMatch(matches, { noun: "task", reference, nameOf });
}

interface Query<T> {
  readonly noun: string;
  readonly reference: string;
  readonly nameOf: (item: T) => string;
}

function findByPrefix<T extends { readonly id: string }>(items: Iterable<T>, query: Query<T>): T {
  const all = [...items];
  const matches = query.reference === "" ? [] : all.filter((item) => item.id.startsWith(query.reference));
  if (matches.length > 0) return requireOneMatch(matches, query);
  throw notFoundError(all, query);
}

/** @throws BerthError BERTH_AMBIGUOUS if there are several matches */
function requireOneMatch<T extends { readonly id: string }>(matches: readonly T[], query: Query<T>): T {
  const [first, ...others] = matches;
  if (first !== undefined && others.length === 0) return first;
  const candidates = joinNames(matches.map((item) => `${query.nameOf(item)} (${item.id})`));
  throw new BerthError({
    code: "BERTH_AMBIGUOUS",
    message: `${JSON.stringify(query.reference)} matches several ${query.noun}s: ${candidates}; use a longer prefix of the ID`,
    details: { candidates },
  });
}

function notFoundError<T>(all: readonly T[], { noun, reference, nameOf }: Query<T>): BerthError {
  const similar = all.map(nameOf).filter((name) => isSimilar(name, reference));
  const hint = similar.length === 0 ? "" : `: did you mean ${joinNames(similar)}?`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `no such ${noun}: ${JSON.stringify(reference)}${hint}`,
    details: similar.length === 0 ? {} : { candidates: joinNames(similar) },
  });
}

/** Returns whether the reference is part of the name, such as a service's name without its stack. */
function isSimilar(name: string, reference: string): boolean {
  return reference !== "" && name.toLowerCase().includes(reference.toLowerCase());
}

function hostnameOf(node: Node): string {
  return node.description?.hostname ?? "";
}

/** Joins names for an error message. Only counts those beyond the limit. */
export function joinNames(names: readonly string[]): string {
  const listed = names.slice(0, MAX_LISTED).join(", ");
  return names.length <= MAX_LISTED ? listed : `${listed} and ${names.length - MAX_LISTED} more`;
}
