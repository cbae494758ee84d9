import {
  type AssignedNetwork,
  type AssignedSpec,
  compareVersions,
  type NetworkAttachment,
  NetworkMode,
  type TaskAddress,
} from "@berth/proto";
import type { EndpointBody } from "../docker/create-body.js";
import type { ContainerNetwork, ObservedContainer } from "../docker/observed-container.js";
import type { NetworkState } from "./plan-network.js";

// Decides which overlay networks a task's container joins, and whether it must wait for them.

/** An overlay network that tasks on this host can join. */
export interface TaskNetwork {
  readonly id: string;
  /** This host's address in the network. Its DNS server listens there. */
  readonly gateway: string;
  /** Whether the network has no connection to the outside (`internal: true`). */
  readonly isInternal: boolean;
  readonly state: NetworkState;
}

/** The overlay networks that the leader has assigned to this host. */
export interface NetworksView {
  /** By full name, which is also the name of the Docker network. */
  readonly byName: ReadonlyMap<string, TaskNetwork>;
}

export const NO_NETWORKS: NetworksView = { byName: new Map() };

/**
 * Combines assigned networks with their state on this host.
 *
 * @param states by network ID
 */
export function networksView(
  networks: readonly AssignedNetwork[],
  states: ReadonlyMap<string, NetworkState>,
): NetworksView {
  const byName = new Map<string, TaskNetwork>();
  for (const { id, spec, gateway } of networks) {
    const state = states.get(id) ?? { kind: "waiting", reason: "not checked yet" };
    byName.set(spec?.name ?? "", { id, gateway, isInternal: spec?.internal ?? false, state });
  }
  return { byName };
}

/**
 * Returns the overlay networks that a container joins, in the order of its service. Optional networks are left out when
 * the leader has not assigned them to this host; it assigns them no later than the task.
 */
export function attachmentsOf(spec: AssignedSpec, { byName }: NetworksView): readonly NetworkAttachment[] {
  const mode = spec.task?.container?.networkMode;
  if (mode === NetworkMode.HOST || mode === NetworkMode.NONE) return [];
  return (spec.task?.networks ?? []).filter(({ network, optional }) => !optional || byName.has(network));
}

/** Returns why a container cannot be created or started yet, or "" if its networks are ready. */
export function networkWait(spec: AssignedSpec, networks: NetworksView): string {
  for (const { network } of attachmentsOf(spec, networks)) {
    const state = networks.byName.get(network)?.state;
    if (state === undefined) {
      return `waiting for network ${network}: the leader has not assigned it to this host yet`;
    }
    if (state.kind === "waiting") return `waiting for network ${network}: ${state.reason}`;
  }
  return "";
}

/** Returns why this host can never run the task because of its networks, or "" if it can. */
export function networkRefusal(spec: AssignedSpec, networks: NetworksView): string {
  for (const { network } of attachmentsOf(spec, networks)) {
    const state = networks.byName.get(network)?.state;
    if (state?.kind === "refused") return `network ${network}: ${state.reason}`;
  }
  return "";
}

/** Returns the next network that a created container has not joined, or undefined if it has joined all. */
export function missingNetwork(
  spec: AssignedSpec,
  container: ObservedContainer,
  networks: NetworksView,
): NetworkAttachment | undefined {
  const joined = new Set(container.networks.map(({ name }) => name));
  return attachmentsOf(spec, networks).find(({ network }) => !joined.has(network));
}

/** The first API version in which a container's networks have a priority for the default route (`GwPriority`). */
const GATEWAY_PRIORITY_SINCE = "1.48";
const INTERFACE_NAME_OPTION = "com.docker.network.endpoint.ifname";

/**
 * Returns the endpoint settings of a container in one of its networks. The service's name is never an alias: Docker's
 * resolver would answer it with the containers on this host only.
 */
export function endpointBody(
  spec: AssignedSpec,
  attachment: NetworkAttachment,
  { networks, engineApiVersion }: { readonly networks: NetworksView; readonly engineApiVersion: string },
): EndpointBody {
  const { ipv4Address, macAddress, linkLocalIps, interfaceName } = attachment;
  const attachments = attachmentsOf(spec, networks);
  const supportsPriority = compareVersions(engineApiVersion, GATEWAY_PRIORITY_SINCE) >= 0;
  return {
    ...(ipv4Address === "" && linkLocalIps.length === 0 ? {} : { IPAMConfig: ipamBody(attachment) }),
    ...(macAddress === "" ? {} : { MacAddress: macAddress }),
    ...(interfaceName === "" ? {} : { DriverOpts: { [INTERFACE_NAME_OPTION]: interfaceName } }),
    ...(supportsPriority && attachments.length > 1
      ? { GwPriority: attachments.length - attachments.indexOf(attachment) }
      : {}),
  };
}

function ipamBody({ ipv4Address, linkLocalIps }: NetworkAttachment): NonNullable<EndpointBody["IPAMConfig"]> {
  return {
    ...(ipv4Address === "" ? {} : { IPv4Address: ipv4Address }),
    ...(linkLocalIps.length === 0 ? {} : { LinkLocalIPs: linkLocalIps }),
  };
}

/**
 * Returns the addresses of a container in its overlay networks.
 *
 * @param previous returned as long as the leader has not assigned all networks of the task
 */
export function addressesIn(
  spec: AssignedSpec,
  joined: readonly ContainerNetwork[],
  { byName }: NetworksView,
  previous: readonly TaskAddress[],
): TaskAddress[] {
  const areAllAssigned = (spec.task?.networks ?? []).every(({ network }) => byName.has(network));
  if (!areAllAssigned) return [...previous];
  return joined.flatMap(({ name, address, mac = "" }) => {
    const networkId = byName.get(name)?.id;
    return networkId === undefined || address === "" ? [] : [{ networkId, address, macAddress: mac }];
  });
}
