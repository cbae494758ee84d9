import {
  ipv4Text,
  type Network,
  type NetworkRange,
  parseIpv4,
  parseSubnet,
  subnetText,
  type Task,
} from "@berth/proto";
import { gatewayAddress, pickRange } from "../../core/allocator/address-pool.js";
import { canJoin, overlapProblem } from "../../core/allocator/network-eligibility.js";
import { staticAddresses } from "../../core/allocator/static-addresses.js";
import type { Action } from "../../core/model/plan.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

/** The allocation of network ranges for one plan. */
export interface RangeChanges {
  readonly changes: readonly Change[];
  /** Reason why a task cannot run on its node, by task ID: a required network has no range left. */
  readonly refused: ReadonlyMap<string, string>;
}

/**
 * Allocates ranges for the nodes to which a plan assigns tasks, in each of the tasks' networks.
 *
 * The changes must be written before the assignments that depend on them.
 */
export function rangeChanges(actions: readonly Action[], state: ClusterState): RangeChanges {
  const allocation = new RangeAllocation(state);
  for (const action of actions) {
    if (action.kind === "create-task" && action.task.nodeId !== "") {
      allocation.addTask(action.task, action.task.nodeId);
    } else if (action.kind === "assign-task") {
      allocation.addTask(action.task, action.nodeId);
    }
  }
  return allocation;
}

/** Allocates the ranges for one plan. Each allocation takes the earlier ones of the plan into account. */
class RangeAllocation implements RangeChanges {
  readonly changes: Change[] = [];
  readonly refused = new Map<string, string>();
  readonly #state: ClusterState;
  /** The allocated ranges, by network and node ID. */
  readonly #planned = new Map<string, NetworkRange>();

  constructor(state: ClusterState) {
    this.#state = state;
  }

  /** Allocates a range on the task's node in each of its networks, or records why the task cannot run there. */
  addTask({ id, serviceId, specVersion }: Task, nodeId: string): void {
    const attachments = this.#state.services.versions.specOf(serviceId, specVersion)?.task?.networks ?? [];
    if (attachments.length === 0) return;
    const node = this.#state.nodes.get(nodeId);
    if (node === undefined) return;
    for (const attachment of attachments) {
      const network = this.#state.networks.byName(attachment.network);
      if (network === undefined || !canJoin(node, attachment)) continue;
      if (attachment.optional && overlapProblem(node, parseSubnet(network.subnet)) !== undefined) continue;
      if (this.#allocate(network, nodeId) || attachment.optional) continue;
      this.refused.set(id, `all ranges of network ${attachment.network} are taken by other nodes`);
    }
  }

  /** Allocates a range unless the node has one. Returns false when the network has no range left. */
  #allocate(network: Network, nodeId: string): boolean {
    const { ranges } = this.#state.networks;
    const key = `${network.id}/${nodeId}`;
    if (ranges.get(network.id, nodeId) !== undefined || this.#planned.has(key)) return true;
    const range = this.#pickRange(network, nodeId);
    if (range === undefined) return false;
    this.#planned.set(key, range);
    this.changes.push({ kind: "put-range", range });
    return true;
  }

  #pickRange(network: Network, nodeId: string): NetworkRange | undefined {
    const { services, networks } = this.#state;
    const subnet = parseSubnet(network.subnet);
    if (subnet === undefined) return undefined;
    const planned = [...this.#planned.values()].filter(({ networkId }) => networkId === network.id);
    const leased = [...networks.ranges.ofNetwork(network.id).values(), ...planned];
    const name = network.spec?.name ?? "";
    const reserved = staticAddresses(services.ofNetwork(name).values(), name);
    const picked = pickRange(subnet, {
      taken: leased.flatMap(({ range }) => parseSubnet(range) ?? []),
      staticAddresses: reserved.flatMap((address) => parseIpv4(address) ?? []),
    });
    if (picked === undefined) return undefined;
    const gateway = ipv4Text(gatewayAddress(picked));
    return { networkId: network.id, nodeId, range: subnetText(picked), gateway };
  }
}
