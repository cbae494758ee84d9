import {
  ipv4Text,
  type Network,
  type NetworkSpec,
  NetworkSpec as NetworkSpecCodec,
  type Node,
  parseSubnet,
  type Subnet,
  subnetsOverlap,
  subnetText,
  type Violation,
} from "@berth/proto";
import { canonicalText } from "../model/canonical.js";
import { type NetworkPool, pickSubnet, pickVni } from "./address-pool.js";
import { attachedSubnets } from "./network-eligibility.js";
import { networkMtu } from "./network-mtu.js";

export type NetworkOutcome =
  | { readonly kind: "created" | "updated" | "unchanged"; readonly network: Network }
  | { readonly kind: "refused"; readonly violation: Violation };

export interface NetworkContext {
  /** Of a network that is new. */
  readonly id: string;
  readonly now: number;
  readonly pool: NetworkPool;
  /** All other networks. */
  readonly others: readonly Network[];
  /** Whose own addresses, and neighbours, no network may hold: a host would look for them among its containers. */
  readonly nodes: readonly Node[];
  /** From 0 up to 1, anew at each call. */
  readonly random: () => number;
}

/**
 * Makes a network what a spec says. Hosts build a network once: of one that is there, only labels and who may join
 * can change. One that is being removed stays.
 */
export function applyNetwork(
  existing: Network | undefined,
  spec: NetworkSpec,
  context: NetworkContext,
): NetworkOutcome {
  if (existing === undefined) return newNetwork(spec, context);
  const violation = changeProblem(existing, spec);
  if (violation !== undefined) return { kind: "refused", violation };
  if (!existing.removing && specText(existing.spec) === specText(spec)) {
    return { kind: "unchanged", network: existing };
  }
  return { kind: "updated", network: { ...existing, spec, removing: false } };
}

function newNetwork(spec: NetworkSpec, context: NetworkContext): NetworkOutcome {
  const { id, now, pool, others, nodes, random } = context;
  const taken = [
    ...others.map(({ subnet }) => parseSubnet(subnet)),
    ...nodes.flatMap(attachedSubnets),
  ].flatMap((subnet) => subnet ?? []);
  const found = spec.subnet === "" ? pickSubnet(pool, taken, random()) : ownSubnet(spec.subnet, context);
  if (typeof found === "string") return refused("subnet", found);
  if (found === undefined) {
    return refused(
      "subnet",
      `no subnet is left in ${subnetText(pool.subnet)}: remove networks, give this one a subnet of its own, or start the servers with a larger --network-pool`,
    );
  }
  const vni = pickVni(new Set(others.map((network) => network.vni)), random());
  const mtu = networkMtu(spec, nodes);
  const network = { id, spec, subnet: subnetText(found), vni, createdAtMs: now, removing: false, mtu };
  return { kind: "created", network };
}

/** The subnet that a spec asks for, or why it cannot have it. */
function ownSubnet(text: string, { others, nodes }: NetworkContext): Subnet | string {
  const subnet = parseSubnet(text);
  if (subnet === undefined) return `${JSON.stringify(text)} is no subnet`;
  const overlaps = (its: Subnet | undefined): boolean => its !== undefined && subnetsOverlap(its, subnet);
  const holder = others.find((other) => overlaps(parseSubnet(other.subnet)));
  if (holder !== undefined) {
    return `${text} overlaps ${holder.subnet}, which network ${holder.spec?.name ?? holder.id} has`;
  }
  for (const node of nodes) {
    const block = attachedSubnets(node).find((its) => subnetsOverlap(its, subnet));
    if (block === undefined) continue;
    const name = node.description?.hostname || node.id;
    return block.prefix === HOST_PREFIX
      ? `${text} holds ${ipv4Text(block.base)}, the address of node ${name}: choose one that holds no node's`
      : `${text} overlaps ${subnetText(block)}, in which node ${name} has neighbours: choose one that overlaps none`;
  }
  return subnet;
}

/** A single address. */
const HOST_PREFIX = 32;

function changeProblem(existing: Network, spec: NetworkSpec): Violation | undefined {
  const before = existing.spec ?? NetworkSpecCodec.fromPartial({});
  if (before.stack !== spec.stack) {
    const owner = before.stack === "" ? "no stack" : `stack ${before.stack}`;
    return { path: "name", message: `there is a network of this name already; it belongs to ${owner}` };
  }
  if (spec.subnet !== "" && spec.subnet !== existing.subnet) {
    return fixedAfter("subnet", existing.subnet, spec.subnet);
  }
  for (const path of ["internal", "encrypted", "mtu"] as const) {
    if (before[path] !== spec[path]) return fixedAfter(path, String(before[path]), String(spec[path]));
  }
  return undefined;
}

function fixedAfter(path: string, before: string, after: string): Violation {
  const message = `it cannot change from ${before} to ${after} while the network is there: remove the stack first, or give the network another name`;
  return { path, message };
}

function refused(path: string, message: string): NetworkOutcome {
  return { kind: "refused", violation: { path, message } };
}

function specText(spec: NetworkSpec | undefined): string {
  return spec === undefined ? "" : canonicalText(NetworkSpecCodec.toJSON(spec));
}
