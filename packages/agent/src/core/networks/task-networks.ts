import { type AssignedSpec, type NetworkAttachment, NetworkMode, type TaskAddress } from "@berth/proto";
import { compareVersions } from "../docker/api-version.js";
import type { EndpointBody } from "../docker/create-body.js";
import type { ContainerNetwork, ObservedContainer } from "../docker/observed-container.js";
import type { NetworksView } from "./networks-view.js";

/** Since then a container's networks can be told which of them has the default route. */
const GATEWAY_PRIORITY_SINCE = "1.48";

/**
 * The networks over hosts that a container is to be in, the first one first. Those that it can do without count where
 * this host has a part of them: the leader says so no later than it assigns the task.
 */
export function attachmentsOf(spec: AssignedSpec, { byName }: NetworksView): readonly NetworkAttachment[] {
  const mode = spec.task?.container?.networkMode;
  if (mode === NetworkMode.HOST || mode === NetworkMode.NONE) return [];
  return (spec.task?.networks ?? []).filter(({ network, optional }) => !optional || byName.has(network));
}

/** Why its container cannot be made or started now; "": its networks are there. */
export function networkWait(spec: AssignedSpec, networks: NetworksView): string {
  for (const { network } of attachmentsOf(spec, networks)) {
    const state = networks.byName.get(network)?.state;
    if (state === undefined)
      return `waiting for network ${network}: the leader has not said yet how it is here`;
    if (state.kind === "waiting") return `waiting for network ${network}: ${state.reason}`;
  }
  return "";
}

/** Why this host can never run it; "": nothing is against it. */
export function networkRefusal(spec: AssignedSpec, networks: NetworksView): string {
  for (const { network } of attachmentsOf(spec, networks)) {
    const state = networks.byName.get(network)?.state;
    if (state?.kind === "refused") return `network ${network}: ${state.reason}`;
  }
  return "";
}

/** The next network that a container, which has not been started, is not in yet. */
export function missingNetwork(
  spec: AssignedSpec,
  container: ObservedContainer,
  networks: NetworksView,
): NetworkAttachment | undefined {
  const joined = new Set(container.networks.map(({ name }) => name));
  return attachmentsOf(spec, networks).find(({ network }) => !joined.has(network));
}

/**
 * A container's place in one of its networks. Never the service's name among its aliases: Docker's own resolver would
 * answer it with the containers of this host alone.
 */
export function endpointBody(
  spec: AssignedSpec,
  attachment: NetworkAttachment,
  { networks, engineApiVersion }: { readonly networks: NetworksView; readonly engineApiVersion: string },
): EndpointBody {
  const attachments = attachmentsOf(spec, networks);
  const knowsPriority = compareVersions(engineApiVersion, GATEWAY_PRIORITY_SINCE) >= 0;
  return {
    ...(attachment.ipv4Address === "" ? {} : { IPAMConfig: { IPv4Address: attachment.ipv4Address } }),
    ...(knowsPriority && attachments.length > 1
      ? { GwPriority: attachments.length - attachments.indexOf(attachment) }
      : {}),
  };
}

/**
 * The servers that a container asks for names: this host's name server, which asks the service's own ones, or the
 * host's, for other names. None behind it: Docker goes on to the next at once when one refuses, as for a moment at a
 * hand-over, and somebody outside would say of our own names that there are none.
 */
export function dnsServers(
  spec: AssignedSpec,
  own: readonly string[],
  { byName }: NetworksView,
): readonly string[] {
  const [first] = attachmentsOf(spec, { byName });
  const gateway = first && byName.get(first.network)?.gateway;
  return gateway === undefined ? own : [gateway];
}

/** Where a container answers; `known`: what was said before, for networks that the leader has not named (yet). */
export function addressesIn(
  spec: AssignedSpec,
  joined: readonly ContainerNetwork[],
  { byName }: NetworksView,
  known: readonly TaskAddress[],
): TaskAddress[] {
  const isKnown = (spec.task?.networks ?? []).every(({ network }) => byName.has(network));
  if (!isKnown) return [...known];
  return joined.flatMap(({ name, address, mac = "" }) => {
    const networkId = byName.get(name)?.id;
    return networkId === undefined || address === "" ? [] : [{ networkId, address, macAddress: mac }];
  });
}
