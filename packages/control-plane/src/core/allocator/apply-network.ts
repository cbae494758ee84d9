import {
  ipv4Text,
  type Network,
  NetworkSpec,
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
 * Nodes configure a network only when they create it, so only its labels and `attachable` can change later. Applying a
 * spec to a network that is being removed cancels the removal.
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
  const { id, nowMs, others, nodes, random } = context;
  const choice = spec.subnet === "" ? pickFreeSubnet(context) : checkRequestedSubnet(spec.subnet, context);
  if (choice.kind === "unavailable") {
    return { kind: "refused", violation: { path: "subnet", message: choice.reason } };
  }
  const subnet = subnetText(choice.subnet);
  const vni = pickVni(new Set(others.map((network) => network.vni)), random());
  const mtu = networkMtu(spec, nodes);
  return {
    kind: "created",
    network: { id, spec, subnet, vni, createdAtMs: nowMs, removing: false, mtu },
  };
}

/** The subnet of a new network, or why it cannot have one. */
type SubnetChoice =
  | { readonly kind: "subnet"; readonly subnet: Subnet }
  | { readonly kind: "unavailable"; readonly reason: string };

function pickFreeSubnet({ pool, others, nodes, random }: NetworkContext): SubnetChoice {
  const takenSubnets = [
    ...others.flatMap(({ subnet }) => parseSubnet(subnet) ?? []),
    ...nodes.flatMap(attachedSubnets),
  ];
  const subnet = pickSubnet(pool, takenSubnets, random());
  if (subnet !== undefined) return { kind: "subnet", subnet };
  return unavailable(
    `no subnet is left in ${subnetText(pool.subnet)}; remove networks, set the subnet of this network, or start the servers with a larger --network-pool`,
  );
}

/** Returns the subnet that a spec requests, or why the network cannot have it. */
function checkRequestedSubnet(text: string, { others, nodes }: NetworkContext): SubnetChoice {
  const subnet = parseSubnet(text);
  if (subnet === undefined) return unavailable(`invalid subnet ${JSON.stringify(text)}`);
  const owner = others.find((other) => {
    const otherSubnet = parseSubnet(other.subnet);
    return otherSubnet !== undefined && subnetsOverlap(otherSubnet, subnet);
  });
  if (owner !== undefined) {
    return unavailable(`${text} overlaps ${owner.subnet} of network ${owner.spec?.name ?? owner.id}`);
  }
  for (const node of nodes) {
    const attached = attachedSubnets(node).find((other) => subnetsOverlap(other, subnet));
    if (attached === undefined) continue;
    const name = node.description?.hostname || node.id;
    return unavailable(
      attached.prefix === HOST_PREFIX
        ? `${text} contains ${ipv4Text(attached.base)}, the address of node ${name}; choose a subnet without node addresses`
        : `${text} overlaps ${subnetText(attached)}, which node ${name} is attached to; choose another subnet`,
    );
  }
  return { kind: "subnet", subnet };
}

function unavailable(reason: string): SubnetChoice {
  return { kind: "unavailable", reason };
}

/** Returns why an existing network cannot change to a spec, or undefined if it can. */
function changeViolation(existing: Network, spec: NetworkSpec): Violation | undefined {
  const before = existing.spec ?? NetworkSpec.fromPartial({});
  if (before.stack !== spec.stack) {
    const owner = before.stack === "" ? "no stack" : `stack ${before.stack}`;
    return { path: "name", message: `a network of this name already exists and belongs to ${owner}` };
  }
  if (spec.subnet !== "" && spec.subnet !== existing.subnet) {
    return immutableViolation(spec, "subnet", [existing.subnet, spec.subnet]);
  }
  for (const path of ["internal", "encrypted", "mtu"] as const) {
    if (before[path] !== spec[path]) {
      return immutableViolation(spec, path, [String(before[path]), String(spec[path])]);
    }
  }
  return undefined;
}

function immutableViolation(
  { stack }: NetworkSpec,
  path: string,
  [before, after]: readonly [before: string, after: string],
): Violation {
  const owner = stack === "" ? "network" : "stack";
  const message = `cannot change from ${before} to ${after} while the network exists; remove the ${owner} first, or choose another network name`;
  return { path, message };
}

function specText(spec: NetworkSpec | undefined): string {
  return spec === undefined ? "" : canonicalText(NetworkSpec.toJSON(spec));
}
