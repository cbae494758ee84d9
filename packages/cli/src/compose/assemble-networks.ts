import { type NetworkAttachment, NetworkMode } from "@berth/proto";
import {
  byDefaultRoute,
  DEFAULT_NETWORK,
  type JoinedNetwork,
  newJoinedNetwork,
} from "./keys/network-attachment-keys.js";
import type { ServiceDraft } from "./keys/service-draft.js";

/** A host's name that can be looked up: no template, which is different for each task. */
const PLAIN_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$/;

/**
 * The networks of a service once all of its keys have been read. One that names none, and no network mode, is in the
 * stack's default network. The names of its container are names of the service.
 */
export function assembleNetworks(draft: ServiceDraft): NetworkAttachment[] {
  const { container, context, networks: joined } = draft;
  joinHostNetwork(draft);
  if (container.networkMode !== NetworkMode.UNSPECIFIED) return [];
  const network = context.networks.get(DEFAULT_NETWORK);
  const isBare = joined.length === 0 && network !== undefined;
  const all = isBare ? [newJoinedNetwork(DEFAULT_NETWORK, network, false)] : byDefaultRoute(joined);
  const names = containerNames(draft);
  return all.map((each, index) => {
    const place = draft.attachmentPlaces.get(each.network.name);
    if (place !== undefined) draft.origins.set(`task.networks[${index}]`, place);
    const aliases = [...new Set([...each.attachment.aliases, ...names])];
    return { ...each.attachment, aliases, optional: isOptional(each) };
  });
}

/** As with Swarm: the external networks "host", "none" and "bridge" are what a host has by itself. */
function joinHostNetwork({ container, networks: joined, attachmentPlaces, context }: ServiceDraft): void {
  for (const { key, network } of joined) {
    if (network.mode === undefined) continue;
    container.networkMode = network.mode;
    const place = attachmentPlaces.get(network.name);
    if (joined.length === 1 || place === undefined) continue;
    context.diagnostics.error(place, `${key} is a network of each host: a service in it is in no other`);
  }
}

/** Nobody asked for it, and it promises nothing but that services find each other. */
function isOptional({ isNamed, network }: JoinedNetwork): boolean {
  const { internal, encrypted } = network.spec;
  return !isNamed && !network.isExternal && !internal && !encrypted;
}

/** Not a hostname that another service has as its name: that would take its place for some. */
function containerNames({ containerName, container, context }: ServiceDraft): readonly string[] {
  const { hostname } = container;
  const isFree = PLAIN_NAME.test(hostname) && !context.serviceNames.has(hostname);
  return [containerName, isFree ? hostname : ""].filter((name) => name !== "");
}
