import { type NetworkAttachment, NetworkMode } from "@berth/proto";
import { sortByDefaultRoute } from "./keys/network-attachment-keys.js";
import type { JoinedNetwork, ServiceDraft } from "./keys/service-draft.js";

/**
 * Pattern of a hostname that can be an alias. A template such as `{{.Task.Slot}}` cannot be an alias, because its value
 * differs for each task.
 */
const PLAIN_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$/;

/**
 * Returns the networks of a Compose service after all of its keys have been read. Its container name and hostname
 * become aliases. Also sets the network mode of the container, and records where the file attaches each network.
 */
export function assembleNetworks(draft: ServiceDraft): NetworkAttachment[] {
  const { container, networks } = draft;
  setHostNetworkMode(draft);
  const sharesNetwork = (container.sharing?.network ?? "") !== "";
  if (container.networkMode !== NetworkMode.UNSPECIFIED || sharesNetwork) return [];
  const nameAliases = ownNameAliases(draft);
  return sortByDefaultRoute(networks).map((joinedNetwork, index) => {
    const place = draft.networkPlaces.get(joinedNetwork.network.name);
    if (place !== undefined) draft.origins.set(`task.networks[${index}]`, place);
    const aliases = [...new Set([...joinedNetwork.attachment.aliases, ...nameAliases])];
    return { ...joinedNetwork.attachment, aliases, optional: isOptional(joinedNetwork) };
  });
}

/** Sets the network mode for the external networks "host", "none" and "bridge", as Swarm does. */
function setHostNetworkMode({ container, networks, networkPlaces, context }: ServiceDraft): void {
  for (const { key, network } of networks) {
    if (network.mode === undefined) continue;
    container.networkMode = network.mode;
    const place = networkPlaces.get(network.name);
    if (networks.length === 1 || place === undefined) continue;
    context.diagnostics.error(
      place,
      `network ${key} cannot be combined with other networks: it is a network of the host`,
    );
  }
}

/**
 * Returns whether tasks may run on nodes without the network, because it is implicit and provides no isolation or
 * encryption.
 */
function isOptional({ isExplicit, network }: JoinedNetwork): boolean {
  const { internal, encrypted } = network.spec;
  return !isExplicit && !network.isExternal && !internal && !encrypted;
}

/** Returns the aliases from `container_name` and `hostname`. A hostname that is the name of a service is left out. */
function ownNameAliases({ containerName, container, context }: ServiceDraft): readonly string[] {
  const { hostname } = container;
  const isUsable = PLAIN_NAME.test(hostname) && !context.serviceNames.has(hostname);
  return [containerName, isUsable ? hostname : ""].filter((name) => name !== "");
}
