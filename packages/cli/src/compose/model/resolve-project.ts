import { scopedName } from "@berth/proto";
import { rootCursor } from "../tree/cursor.js";
import {
  childOf,
  type MapEntry,
  type MapNode,
  mapNode,
  type Node,
  scalarNode,
  textOf,
  withEntry,
  withoutEntry,
} from "../tree/node.js";
import { checkProject } from "./check-project.js";
import type { ProjectEnvironment } from "./read-project.js";
import { DEFAULT_NETWORK, resolveService } from "./resolve-service.js";
import { selectServices } from "./select-services.js";

/** Sections whose entries have a name in the cluster. */
const NAMED_SECTIONS = ["networks", "volumes", "secrets", "configs"] as const;
const SECTIONS = [...NAMED_SECTIONS, "models"] as const;
type Section = (typeof SECTIONS)[number];

export interface ResolveOptions extends ProjectEnvironment {
  /** Name of the stack, which prefixes the names of its networks, volumes, secrets and configs. */
  readonly stack: string;
  /** Profiles whose services are enabled. `*` stands for all. */
  readonly profiles: readonly string[];
}

/** A project in canonical form, with names, variables and defaults. */
export interface ResolvedProject {
  readonly root: MapNode;
  /** Services that are not deployed, each with the profiles that would enable it. */
  readonly disabled: ReadonlyMap<string, readonly string[]>;
}

/**
 * Resolves a canonical tree as Compose does: selects the services to deploy, resolves their environment, adds default
 * networks and implied dependencies, and names the resources. Reports references to resources that do not exist.
 */
export function resolveProject(tree: MapNode, options: ResolveOptions): ResolvedProject {
  const { diagnostics, stack, keepVariables = false } = options;
  const { enabled, disabled } = selectServices(rootCursor(tree, diagnostics), options.profiles);
  const services = new Map<string, MapEntry>();
  for (const [name, cursor] of enabled) {
    const value = resolveService(cursor, options);
    services.set(name, { keyPosition: cursor.keyPosition, value });
  }
  let root = withEntry(tree, "name", scalarNode(stack, tree.position));
  root = withEntry(root, "services", {
    kind: "map",
    entries: services,
    position: childOf(tree, "services")?.position ?? tree.position,
  });
  root = withDefaultNetwork(root);
  // A reference that contains a variable cannot be checked, and neither can the profile of a service.
  if (!keepVariables) checkProject(rootCursor(root, diagnostics), disabled);
  for (const section of NAMED_SECTIONS) root = withNames(root, section, stack);
  return { root, disabled };
}

/** Returns a resolved tree without the resources that no service uses. Compose does not create them. */
export function withoutUnusedResources(root: MapNode): MapNode {
  return SECTIONS.reduce(withUsedResources, root);
}

/** Declares the default network if a service joins it. */
function withDefaultNetwork(root: MapNode): MapNode {
  const services = childOf(root, "services");
  const networks = childOf(root, "networks");
  const declared = networks?.kind === "map" ? networks : mapNode([], root.position);
  const values = services?.kind === "map" ? [...services.entries.values()] : [];
  const isUsed = values.some(
    ({ value }) => childOf(childOf(value, "networks"), DEFAULT_NETWORK) !== undefined,
  );
  if (!isUsed || declared.entries.has(DEFAULT_NETWORK)) return root;
  return withEntry(root, "networks", withEntry(declared, DEFAULT_NETWORK, scalarNode(null, root.position)));
}

/** Sets the names of the resources of a section. */
function withNames(root: MapNode, section: Section, stack: string): MapNode {
  const resources = childOf(root, section);
  if (resources?.kind !== "map") return root;
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of resources.entries) {
    entries.set(key, { ...entry, value: withName(key, entry.value, stack) });
  }
  return withEntry(root, section, { ...resources, entries });
}

/** Drops the resources of a section that no service uses. */
function withUsedResources(root: MapNode, section: Section): MapNode {
  const resources = childOf(root, section);
  if (resources?.kind !== "map") return root;
  const used = usedKeys(root, section);
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of resources.entries) {
    if (used.has(key)) entries.set(key, entry);
  }
  return entries.size === 0
    ? withoutEntry(root, section)
    : withEntry(root, section, { ...resources, entries });
}

/** Sets the name of a resource that has none: its key, prefixed with the stack unless it is external. */
function withName(key: string, resource: Node, stack: string): MapNode {
  const map = resource.kind === "map" ? resource : mapNode([], resource.position);
  if (textOf(map, "name") !== undefined) return map;
  const external = childOf(map, "external");
  const isExternal = external?.kind === "scalar" && external.value === true;
  const name = isExternal ? key : scopedName(stack, key);
  return withEntry(map, "name", scalarNode(name, resource.position));
}

/** Returns the key of the resource that a mount uses. Only mounts of the type volume use one of the volumes. */
function sourceKeyOf(item: Node, section: Section): readonly string[] {
  const source = textOf(item, "source");
  const isUse = section !== "volumes" || textOf(item, "type") === "volume";
  return source !== undefined && isUse ? [source] : [];
}

/** Returns the keys of the resources of a section that services use. */
function usedKeys(root: MapNode, section: Section): ReadonlySet<string> {
  const services = childOf(root, "services");
  const values = services?.kind === "map" ? [...services.entries.values()].map(({ value }) => value) : [];
  return new Set(values.flatMap((service) => keysUsedBy(service, section)));
}

function keysUsedBy(service: Node, section: Section): readonly string[] {
  if (section === "networks" || section === "models") {
    const references = childOf(service, section);
    return references?.kind === "map" ? [...references.entries.keys()] : [];
  }
  const mounts = childOf(service, section);
  const environment = section === "secrets" ? childOf(childOf(service, "x-berth"), "env_secrets") : undefined;
  const buildMounts = section === "secrets" ? childOf(childOf(service, "build"), "secrets") : undefined;
  const mountedKeys = [mounts, buildMounts].flatMap((list) =>
    list?.kind === "list" ? list.items.flatMap((item) => sourceKeyOf(item, section)) : [],
  );
  const variables = environment?.kind === "map" ? [...environment.entries.keys()] : [];
  return [...mountedKeys, ...variables.flatMap((name) => textOf(environment, name) ?? [])];
}
