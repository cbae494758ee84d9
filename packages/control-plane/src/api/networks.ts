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
import { decideNetworkRemoval, decideNetworks, networkName } from "./deploy/decide-networks.js";
import { violationsError } from "./deploy/violations.js";
import { findNetwork } from "./lookup.js";

/** Lists all networks, or those of one stack, sorted by name. */
export function listNetworks({ stack }: ListNetworksRequest, { state }: ApiContext): ListNetworksResponse {
  const networks = stack === "" ? state.networks.values() : state.networks.ofStack(stack).values();
  const sorted = [...networks].sort((a, b) => (networkName(a) < networkName(b) ? -1 : 1));
  return { networks: sorted.map((network) => networkSummary(state, network)) };
}

/**
 * Returns one network.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function getNetwork({ network }: GetNetworkRequest, { state }: ApiContext): GetNetworkResponse {
  return { network: networkSummary(state, findNetwork(state, network)) };
}

/**
 * Creates a network that belongs to no stack. Succeeds when an equal network exists, since calls are retried.
 *
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
      nowMs: runtime.wallClockMs(),
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
 * Removes the given networks, or none if one of them cannot be removed.
 *
 * @throws BerthError BERTH_NETWORK_IN_USE with the services that use them; BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function removeNetworks(
  request: RemoveNetworksRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveNetworksResponse> {
  const outcomes = await writer.submit((state) => {
    const networks = [...new Set(request.networks.map((reference) => findNetwork(state, reference)))];
    requireUnused(networks, state);
    const decision = decideNetworkRemoval(networks);
    return { changes: decision.changes, result: decision.outcomes };
  }, signal);
  return { networks: [...outcomes] };
}

/** @throws BerthError BERTH_NETWORK_IN_USE unless all services that use the networks are being removed */
function requireUnused(networks: readonly Network[], state: ClusterState): void {
  const networksInUse = networks.flatMap((network) => {
    const usingServices = findServicesUsing(network, state).filter(({ removing }) => !removing);
    const names = usingServices.map(serviceName).sort();
    return names.length === 0 ? [] : [`${networkName(network)} (${names.join(", ")})`];
  });
  if (networksInUse.length === 0) return;
  throw new BerthError({
    code: "BERTH_NETWORK_IN_USE",
    message: `no network was removed: services still use ${networksInUse.join("; ")}; remove these services or their stacks first`,
  });
}

function networkSummary(state: ClusterState, network: Network): NetworkSummary {
  const { ranges, vips } = state.networks;
  const nodes = [...ranges.ofNetwork(network.id).keys()].flatMap((nodeId) => state.nodes.get(nodeId) ?? []);
  return {
    problems: [...mtuProblems(network, nodes)],
    network,
    services: findServicesUsing(network, state).map(serviceName).sort(),
    ranges: [...ranges.ofNetwork(network.id).values()],
    vips: [...vips.ofNetwork(network.id).values()],
  };
}

function findServicesUsing({ spec }: Network, state: ClusterState): readonly Service[] {
  return spec === undefined ? [] : [...state.services.ofNetwork(spec.name).values()];
}

function serviceName({ id, spec }: Service): string {
  return spec?.name ?? id;
}
