import {
  BerthError,
  type CreateNetworkRequest,
  type CreateNetworkResponse,
  type GetNetworkRequest,
  type GetNetworkResponse,
  type ListNetworksRequest,
  type ListNetworksResponse,
  type Network,
  NetworkSpec,
  type NetworkSummary,
  type RemoveNetworksRequest,
  type RemoveNetworksResponse,
  type Service,
} from "@berth/proto";
import { mtuProblems } from "../core/allocator/network-mtu.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { decideNetworks, removeNetworks as markForRemoval, nameOf } from "./deploy/decide-networks.js";
import { violationsError } from "./deploy/violations.js";
import { findNetwork } from "./lookup.js";

export function listNetworks({ stack }: ListNetworksRequest, { state }: ApiContext): ListNetworksResponse {
  const networks = stack === "" ? state.networks.values() : state.networks.ofStack(stack).values();
  const sorted = [...networks].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  return { networks: sorted.map((network) => networkSummary(state, network)) };
}

export function getNetwork({ network }: GetNetworkRequest, { state }: ApiContext): GetNetworkResponse {
  return { network: networkSummary(state, findNetwork(state, network)) };
}

/**
 * Creates a network that belongs to no stack. Succeeds if an equal network exists, since calls are retried.
 * @throws BerthError BERTH_SPEC_INVALID with every violation
 */
export async function createNetwork(
  request: CreateNetworkRequest,
  { writer, runtime, networkPool: pool }: ApiContext,
  signal: AbortSignal,
): Promise<CreateNetworkResponse> {
  const spec: NetworkSpec = { ...(request.spec ?? NetworkSpec.fromPartial({})), stack: "" };
  const network = await writer.submit((state) => {
    const { changes, violations, byName } = decideNetworks([spec], {
      state,
      pool,
      now: runtime.wallClockMs(),
      newId: () => runtime.newId(),
      random: () => runtime.random(),
    });
    if (violations.length > 0) {
      throw violationsError("BERTH_SPEC_INVALID", `network ${spec.name} was not created`, violations);
    }
    return { changes, result: byName.get(spec.name) };
  }, signal);
  return { network };
}

/**
 * Removes networks, all or none.
 * @throws BerthError BERTH_NETWORK_IN_USE with the services that use them; BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function removeNetworks(
  request: RemoveNetworksRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveNetworksResponse> {
  const networks = await writer.submit((state) => {
    const found = [...new Set(request.networks.map((reference) => findNetwork(state, reference)))];
    checkUnused(found, state);
    const { changes, outcomes } = markForRemoval(found);
    return { changes, result: outcomes };
  }, signal);
  return { networks: [...networks] };
}

/** @throws BerthError BERTH_NETWORK_IN_USE unless all services that use the networks are being removed */
function checkUnused(networks: readonly Network[], state: ClusterState): void {
  const used = networks.flatMap((network) => {
    const users = usersOf(network, state).filter(({ removing }) => !removing);
    return users.length === 0 ? [] : [`${nameOf(network)} (${users.map(serviceName).sort().join(", ")})`];
  });
  if (used.length === 0) return;
  throw new BerthError({
    code: "BERTH_NETWORK_IN_USE",
    message: `no network was removed: services still use ${used.join("; ")}; remove these services or their stacks first`,
  });
}

function networkSummary(state: ClusterState, network: Network): NetworkSummary {
  const { ranges, vips } = state.networks;
  const nodes = [...ranges.byFirstId(network.id).keys()].flatMap((nodeId) => state.nodes.get(nodeId) ?? []);
  return {
    problems: [...mtuProblems(network, nodes)],
    network,
    services: usersOf(network, state).map(serviceName).sort(),
    ranges: [...ranges.byFirstId(network.id).values()],
    vips: [...vips.byFirstId(network.id).values()],
  };
}

function usersOf({ spec }: Network, state: ClusterState): readonly Service[] {
  return spec === undefined ? [] : [...state.services.ofNetwork(spec.name).values()];
}

const serviceName = ({ id, spec }: Service): string => spec?.name ?? id;
