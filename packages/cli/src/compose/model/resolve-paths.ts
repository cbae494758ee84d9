import { isAbsolute, resolve } from "node:path";
import { isWindowsPath } from "../text/short-mount.js";
import { childOf, type MapEntry, type Node, type ScalarNode, textOf, withEntry } from "../tree/node.js";

export interface BaseDirectories {
  /** Absolute base directory of relative paths. */
  readonly directory: string;
  /** Replaces `~`. */
  readonly homeDirectory: string;
}

type Resolver = (node: Node, base: BaseDirectories) => Node;

/**
 * Makes the paths of a canonical tree absolute. A path keeps its written form as the text of its node. The files that a
 * project includes or extends have directories of their own, so their trees are resolved before they are merged.
 */
export function resolvePaths(root: Node, base: BaseDirectories): Node {
  return resolveAt(root, [], base);
}

/** Resolvers of the values that are paths, by location. `*` matches any key and any item of a list. */
const PATH_RESOLVERS: readonly { readonly path: readonly string[]; readonly resolver: Resolver }[] =
  Object.entries({
    "services.*.build.context": resolveContext,
    "services.*.build.additional_contexts.*": resolveContext,
    "services.*.env_file.*.path": resolvePath,
    "services.*.label_file.*": resolvePath,
    "services.*.extends.file": resolvePath,
    "services.*.develop.watch.*.path": resolvePath,
    "services.*.volumes.*": resolveMount,
    "configs.*.file": resolvePath,
    "secrets.*.file": resolvePath,
    "volumes.*": resolveBindVolume,
  } satisfies Record<string, Resolver>).map(([path, resolver]) => ({ path: path.split("."), resolver }));

function resolveAt(node: Node, path: readonly string[], base: BaseDirectories): Node {
  const candidates = PATH_RESOLVERS.filter(
    (entry) => entry.path.length >= path.length && matches(entry.path.slice(0, path.length), path),
  );
  const exact = candidates.find((entry) => entry.path.length === path.length);
  if (exact !== undefined) return exact.resolver(node, base);
  if (candidates.length === 0) return node;
  if (node.kind === "list") {
    return { ...node, items: node.items.map((item) => resolveAt(item, [...path, "*"], base)) };
  }
  if (node.kind !== "map") return node;
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of node.entries) {
    entries.set(key, { ...entry, value: resolveAt(entry.value, [...path, key], base) });
  }
  return { ...node, entries };
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  return pattern.every((part, index) => part === "*" || part === path[index]);
}

function resolvePath(node: Node, base: BaseDirectories): Node {
  return node.kind === "scalar" && typeof node.value === "string" && node.value !== ""
    ? absolute(node, node.value, base)
    : node;
}

/** Resolves a build context. URLs, Git repositories and references to services are kept. */
function resolveContext(node: Node, base: BaseDirectories): Node {
  if (node.kind !== "scalar" || typeof node.value !== "string") return node;
  const isRemote = /:\/\/|^service:|^git@|^(?:github|gitlab)\.com\//.test(node.value);
  return isRemote ? node : absolute(node, node.value, base);
}

function resolveMount(node: Node, base: BaseDirectories): Node {
  const source = childOf(node, "source");
  if (node.kind !== "map" || source === undefined || textOf(node, "type") !== "bind") return node;
  if (source.kind !== "scalar" || typeof source.value !== "string") return node;
  return withEntry(node, "source", absolute(source, source.value, base));
}

/** Resolves the device of a local volume that is a bind mount. */
function resolveBindVolume(node: Node, base: BaseDirectories): Node {
  const options = childOf(node, "driver_opts");
  const device = childOf(options, "device");
  const isBind = textOf(node, "driver") === "local" && textOf(options, "o") === "bind";
  if (node.kind !== "map" || options?.kind !== "map" || device === undefined || !isBind) return node;
  return withEntry(node, "driver_opts", withEntry(options, "device", resolvePath(device, base)));
}

function absolute(node: ScalarNode, path: string, { directory, homeDirectory }: BaseDirectories): ScalarNode {
  if (isAbsolute(path) || isWindowsPath(path) || (node.hasVariables && path.startsWith("$"))) return node;
  const isInHome = path === "~" || path.startsWith("~/");
  const resolved = isInHome ? resolve(homeDirectory, `.${path.slice(1)}`) : resolve(directory, path);
  return { ...node, value: resolved };
}
