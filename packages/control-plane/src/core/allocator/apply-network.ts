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

/** The result of applying a network spec. */
export type NetworkOutcome =
  | { readonly kind: "created" | "updated" | "unchanged"; readonly network: Network }
  | { readonly kind: "refused"; readonly violation: Violation };

export interface NetworkContext {
  /** ID for a new network. */
  readonly id: string;
  readonly nowMs: number;
  readonly pool: NetworkPool;
  /** All other networks. */
  readonly others: readonly Network[];
  /** A network must not overlap the subnets of any node. */
  readonly nodes: readonly Node[];
  /** Returns a new number from 0 up to 1 on each call. */
  readonly random: () => number;
}

/** Prefix length of a single address. */
const HOST_PREFIX = 32;

/**
 * Creates a network or updates it to a spec.
 *
 * Hosts create a network only once, so an existing network can only change its labels and `attachable`. Applying a spec
 * to a network that is being removed cancels the removal.
 */
export function applyNetwork(
  existing: Network | undefined,
  spec: NetworkSpec,
  context: NetworkContext,
): NetworkOutcome {
  if (existing === undefined) return createNetwork(spec, context);
  const violation = changeViolation(existing, spec);
  if (violation !== undefined) return { kind: "refused", violation };
  if (!existing.removing && specText(existing.spec) === specText(spec)) {
    return { kind: "unchanged", network: existing };
  }
  return { kind: "updated", network: { ...existing, spec, removing: false } };
}

function createNetwork(spec: NetworkSpec, context: NetworkContext): NetworkOutcome {
  const { id, nowMs, pool, others, nodes, random } = context;
  const takenSubnets = [
    ...others.flatMap(({ subnet }) => parseSubnet(subnet) ?? []),
    ...nodes.flatMap(attachedSubnets),
  ];
  const picked =
    spec.subnet === ""
      ? pickSubnet(pool, takenSubnets, random())
      : checkRequestedSubnet(spec.subnet, context);
  if (typeof picked === "string") return refused(picked);
  if (picked === undefined) {
    return refused(
      `no subnet is left in ${subnetText(pool.subnet)}; remove networks, set the subnet of this network, or start the servers with a larger --network-pool`,
    );
  }
  const vni = pickVni(new Set(others.map((network) => network.vni)), random());
  const mtu = networkMtu(spec, nodes);
  const network = { id, spec, subnet: subnetText(picked), vni, createdAtMs: nowMs, removing: false, mtu };
  return { kind: "created", network };
}

/** Returns the subnet that a spec requests, or as a string why the network cannot have it. */
function checkRequestedSubnet(text: string, { others, nodes }: NetworkContext): Subnet | string {
  const subnet = parseSubnet(text);
  if (subnet === undefined) return `invalid subnet ${JSON.stringify(text)}`;
  const owner = others.find((other) => {
    const otherSubnet = parseSubnet(other.subnet);
    return otherSubnet !== undefined && subnetsOverlap(otherSubnet, subnet);
  });
  if (owner !== undefined) {
    return `${text} overlaps ${owner.subnet} of network ${owner.spec?.name ?? owner.id}`;
  }
  for (const node of nodes) {
    const attached = attachedSubnets(node).find((other) => subnetsOverlap(other, subnet));
    if (attached === undefined) continue;
    const name = node.description?.hostname || node.id;
    return attached.prefix === HOST_PREFIX
      ? `${text} contains ${ipv4Text(attached.base)}, the address of node ${name}; choose a subnet without node addresses`
      : `${text} overlaps ${subnetText(attached)}, which node ${name} is attached to; choose another subnet`;
  }
  return subnet;
}

/** Returns why an existing network cannot change to a spec, or undefined if it can. */
function changeViolation(existing: Network, spec: NetworkSpec): Violation | undefined {
  const before = existing.spec ?? NetworkSpecCodec.fromPartial({});
  if (before.stack !== spec.stack) {
    const owner = before.stack === "" ? "no stack" : `stack ${before.stack}`;
    return { path: "name", message: `a network of this name already exists and belongs to ${owner}` };
  }
  if (spec.subnet !== "" && spec.subnet !== existing.subnet) {
    return immutableViolation("subnet", existing.subnet, spec.subnet);
  }
  for (const path of ["internal", "encrypted", "mtu"] as const) {
    if (before[path] !== spec[path]) {
      return immutableViolation(path, String(before[path]), String(spec[path]));
    }
  }
  return undefined;
}

function immutableViolation(path: string, before: string, after: string): Violation {
  const message = `cannot change from ${before} to ${after} while the network exists; remove the stack first, or choose another network name`;
  return { path, message };
}

function refused(message: string): NetworkOutcome {
  return { kind: "refused", violation: { path: "subnet", message } };
}

function specText(spec: NetworkSpec | undefined): string {
  return spec === undefined ? "" : canonicalText(NetworkSpecCodec.toJSON(spec));
}
