import { BerthError, type Network, type Node, type Service, type Task } from "@berth/proto";
import type { ClusterState } from "../state/cluster-state.js";

/** As many as fit on a line or two. */
const MAX_CANDIDATES = 8;

/** @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS, naming candidates */
export function findService(state: ClusterState, reference: string): Service {
  const exact = state.services.get(reference) ?? state.services.byName(reference);
  if (exact !== undefined) return exact;
  return byPrefix(state.services.values(), {
    what: "service",
    reference,
    nameOf: (service) => service.spec?.name ?? "",
  });
}

/** By id, full name or unique id prefix. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS, naming candidates */
export function findNetwork(state: ClusterState, reference: string): Network {
  const exact = state.networks.get(reference) ?? state.networks.byName(reference);
  if (exact !== undefined) return exact;
  return byPrefix(state.networks.values(), {
    what: "network",
    reference,
    nameOf: (network) => network.spec?.name ?? "",
  });
}

/** By id, hostname or unique id prefix. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS, naming candidates */
export function findNode(state: ClusterState, reference: string): Node {
  const exact = state.nodes.get(reference);
  if (exact !== undefined) return exact;
  const kind = { what: "node", reference, nameOf: hostnameOf };
  const named = [...state.nodes.values()].filter((node) => hostnameOf(node) === reference);
  return named.length === 0 ? byPrefix(state.nodes.values(), kind) : only(named, kind);
}

/** By id or unique id prefix; undefined when there is none. @throws BerthError BERTH_AMBIGUOUS */
export function findTask(state: ClusterState, reference: string): Task | undefined {
  const exact = state.tasks.get(reference);
  if (exact !== undefined || reference === "") return exact;
  const matches = [...state.tasks.values()].filter((task) => task.id.startsWith(reference));
  const nameOf = (task: Task): string => `${task.serviceName}.${task.slot}`;
  return matches.length === 0 ? undefined : only(matches, { what: "task", reference, nameOf });
}

interface Kind<T> {
  readonly what: string;
  readonly reference: string;
  readonly nameOf: (item: T) => string;
}

function byPrefix<T extends { readonly id: string }>(items: Iterable<T>, kind: Kind<T>): T {
  const all = [...items];
  const matches = kind.reference === "" ? [] : all.filter((item) => item.id.startsWith(kind.reference));
  if (matches.length > 0) return only(matches, kind);
  throw notFound(all, kind);
}

function only<T extends { readonly id: string }>(matches: readonly T[], kind: Kind<T>): T {
  const [first, ...others] = matches;
  if (first !== undefined && others.length === 0) return first;
  const candidates = listed(matches.map((item) => `${kind.nameOf(item)} (${item.id})`));
  throw new BerthError({
    code: "BERTH_AMBIGUOUS",
    message: `${JSON.stringify(kind.reference)} can mean several ${kind.what}s: ${candidates}. Give more of the id.`,
    details: { candidates },
  });
}

function notFound<T>(all: readonly T[], { what, reference, nameOf }: Kind<T>): BerthError {
  const alike = all.map(nameOf).filter((name) => isAlike(name, reference));
  const hint = alike.length === 0 ? "" : ` Did you mean ${listed(alike)}?`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `There is no ${what} ${JSON.stringify(reference)}.${hint}`,
    details: alike.length === 0 ? {} : { candidates: listed(alike) },
  });
}

/** People leave the stack's name out, or give half a name. */
function isAlike(name: string, reference: string): boolean {
  return reference !== "" && name.toLowerCase().includes(reference.toLowerCase());
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_CANDIDATES).join(", ");
  return names.length <= MAX_CANDIDATES ? shown : `${shown} and ${names.length - MAX_CANDIDATES} more`;
}

function hostnameOf(node: Node): string {
  return node.description?.hostname ?? "";
}
