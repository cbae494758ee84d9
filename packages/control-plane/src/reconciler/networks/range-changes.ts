import {
  ipv4Text,
  type Network,
  type NetworkRange,
  parseIpv4,
  parseSubnet,
  subnetText,
  type Task,
} from "@berth/proto";
import { gatewayOf, pickRange } from "../../core/allocator/address-pool.js";
import { canJoin, overlapProblem } from "../../core/allocator/network-eligibility.js";
import { staticAddresses } from "../../core/allocator/static-addresses.js";
import type { Action } from "../../core/model/plan.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

export interface RangeDecision {
  readonly changes: readonly Change[];
  /** Ids of tasks whose node cannot have a network that they need, with the reason. */
  readonly refused: ReadonlyMap<string, string>;
}

/**
 * Gives the nodes that get tasks their part of these tasks' networks, where they have none yet. What such a change
 * makes possible has to come after it.
 */
export function rangeChanges(actions: readonly Action[], state: ClusterState): RangeDecision {
  const leases = new RangeLeases(state);
  for (const action of actions) {
    if (action.kind === "create-task" && action.task.nodeId !== "") {
      leases.forTask(action.task, action.task.nodeId);
    } else if (action.kind === "assign-task") leases.forTask(action.task, action.nodeId);
  }
  return leases;
}

/** Collects new leases; those of one plan know of each other. */
class RangeLeases implements RangeDecision {
  readonly changes: Change[] = [];
  readonly refused = new Map<string, string>();
  readonly #state: ClusterState;
  readonly #planned = new Map<string, NetworkRange>();

  constructor(state: ClusterState) {
    this.#state = state;
  }

  forTask({ id, serviceId, specVersion }: Task, nodeId: string): void {
    const attachments = this.#state.services.specOf(serviceId, specVersion)?.task?.networks ?? [];
    if (attachments.length === 0) return;
    const node = this.#state.nodes.get(nodeId);
    if (node === undefined) return;
    for (const attachment of attachments) {
      const network = this.#state.networks.byName(attachment.network);
      if (network === undefined || !canJoin(node, attachment)) continue;
      if (attachment.optional && overlapProblem(node, parseSubnet(network.subnet)) !== undefined) continue;
      if (this.#lease(network, nodeId) || attachment.optional) continue;
      this.refused.set(id, `all parts of network ${attachment.network} are taken by other nodes`);
    }
  }

  /** False when the network has none left. */
  #lease(network: Network, nodeId: string): boolean {
    const { ranges } = this.#state.networks;
    const key = `${network.id}/${nodeId}`;
    if (ranges.get(network.id, nodeId) !== undefined || this.#planned.has(key)) return true;
    const range = this.#pick(network, nodeId);
    if (range === undefined) return false;
    this.#planned.set(key, range);
    this.changes.push({ kind: "put-range", range });
    return true;
  }

  #pick(network: Network, nodeId: string): NetworkRange | undefined {
    const { services, networks } = this.#state;
    const subnet = parseSubnet(network.subnet);
    if (subnet === undefined) return undefined;
    const planned = [...this.#planned.values()].filter(({ networkId }) => networkId === network.id);
    const leased = [...networks.ranges.ofFirst(network.id).values(), ...planned];
    const name = network.spec?.name ?? "";
    const picked = pickRange(subnet, {
      taken: leased.flatMap(({ range }) => parseSubnet(range) ?? []),
      fixed: staticAddresses(services.ofNetwork(name).values(), name).flatMap(
        (each) => parseIpv4(each) ?? [],
      ),
    });
    if (picked === undefined) return undefined;
    const gateway = ipv4Text(gatewayOf(picked));
    return { networkId: network.id, nodeId, range: subnetText(picked), gateway };
  }
}
