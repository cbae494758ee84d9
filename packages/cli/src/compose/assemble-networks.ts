import { type NetworkAttachment, NetworkMode } from "@berth/proto";
import { DEFAULT_NETWORK, newJoinedNetwork, sortByDefaultRoute } from "./keys/network-attachment-keys.js";
import type { JoinedNetwork, ServiceDraft } from "./keys/service-draft.js";

/** A hostname that DNS can resolve. A template differs from task to task, so it is not one. */
const PLAIN_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$/;

/**
 * Returns the networks of a service after all of its keys have been read. A service without networks and without a
 * network mode joins the default network of the stack. Its container name and hostname become aliases.
 */
export function assembleNetworks(draft: ServiceDraft): NetworkAttachment[] {
  const { container, context, networks } = draft;
  applyHostNetwork(draft);
  if (container.networkMode !== NetworkMode.UNSPECIFIED) return [];
  const network = context.networks.get(DEFAULT_NETWORK);
  const usesDefault = networks.length === 0 && network !== undefined;
  const joined = usesDefault
    ? [newJoinedNetwork(DEFAULT_NETWORK, network, false)]
    : sortByDefaultRoute(networks);
  const names = containerNames(draft);
  return joined.map((each, index) => {
    const place = draft.networkPlaces.get(each.network.name);
    if (place !== undefined) draft.origins.set(`task.networks[${index}]`, place);
    const aliases = [...new Set([...each.attachment.aliases, ...names])];
    return { ...each.attachment, aliases, optional: isOptional(each) };
  });
}

/** Sets the network mode for the external networks "host", "none" and "bridge", as Swarm does. */
function applyHostNetwork({ container, networks, networkPlaces, context }: ServiceDraft): void {
  for (const { key, network } of networks) {
    if (network.mode === undefined) continue;
    container.networkMode = network.mode;
    const place = networkPlaces.get(network.name);
    if (networks.length === 1 || place === undefined) continue;
    context.diagnostics.error(place, `${key} is a network of the host and cannot be combined with others`);
  }
}

/** Whether the service also works without the network: it is implicit, and promises no isolation or encryption. */
function isOptional({ isExplicit, network }: JoinedNetwork): boolean {
  const { internal, encrypted } = network.spec;
  return !isExplicit && !network.isExternal && !internal && !encrypted;
}

/** Returns the names of the container. A hostname that is also the name of a service stays with that service. */
function containerNames({ containerName, container, context }: ServiceDraft): readonly string[] {
  const { hostname } = container;
  const isUsable = PLAIN_NAME.test(hostname) && !context.serviceNames.has(hostname);
  return [containerName, isUsable ? hostname : ""].filter((name) => name !== "");
}
