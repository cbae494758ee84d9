import { parseEnvFile } from "../text/env-file.js";
import { decodeSource } from "../text/source.js";
import { didYouMean } from "../text/suggest.js";
import type { Lookup } from "../text/template.js";
import { type Cursor, keyPlace, listFields, readItems } from "../tree/cursor.js";
import {
  childOf,
  hasVariables,
  implied,
  isNull,
  type MapEntry,
  type MapNode,
  mapNode,
  type Node,
  scalarNode,
  textOf,
  withEntry,
  withoutEntry,
} from "../tree/node.js";
import type { ProjectEnvironment } from "./read-project.js";

/** Key of the network that services without `networks:` join. */
export const DEFAULT_NETWORK = "default";
const DEFAULT_DOCKERFILE = "Dockerfile";
/** Keys that can name a service whose namespace a service shares. */
const NAMESPACE_KEYS = ["network_mode", "ipc", "pid", "uts", "cgroup"];

/** Resolves one canonical service: its variables, labels, default network, and implied dependencies. */
export function resolveService(service: Cursor, environment: ProjectEnvironment): Node {
  if (service.node.kind !== "map") return service.node;
  let node = service.node;
  if (!environment.keepVariables) {
    node = withEnvironment(node, service, environment);
    node = withLabels(node, service, environment);
  }
  node = withBuildDefaults(node, environment);
  node = withDefaultNetwork(node);
  node = withImpliedDependencies(node);
  return textOf(node, "pull_policy") === "if_not_present"
    ? withEntry(node, "pull_policy", scalarNode("missing", node.position))
    : node;
}

/** Merges the env files into `environment`, which has precedence, and looks up the variables without a value. */
function withEnvironment(node: MapNode, service: Cursor, { lookup, readFile }: ProjectEnvironment): MapNode {
  const environment = childOf(node, "environment");
  const ownEntries: ReadonlyMap<string, MapEntry> =
    environment?.kind === "map" ? environment.entries : new Map();
  const entries = new Map<string, MapEntry>();
  /** Looks up a variable in an env file: in the environment, the service, and earlier env files. */
  const lookUpInFile: Lookup = (name) => {
    const entry = ownEntries.get(name)?.value;
    const isText = entry?.kind === "scalar" && entry.value !== null;
    const fromFile = entries.get(name)?.value;
    const value = isText ? entry : fromFile;
    return lookup(name) ?? (value?.kind === "scalar" ? String(value.value) : undefined);
  };
  const files = listFields(service).get("env_file");
  for (const item of files === undefined ? [] : (readItems(files) ?? [])) {
    for (const [name, value] of readEnvFile(item, { lookup: lookUpInFile, readFile })) {
      entries.set(name, { keyPosition: item.position, value: scalarNode(value, item.position) });
    }
  }
  for (const [name, entry] of ownEntries) {
    const value = isNull(entry.value) ? lookup(name) : undefined;
    // A variable without a value, in the file and in the environment, removes the value of an env file.
    entries.set(
      name,
      value === undefined ? entry : { ...entry, value: scalarNode(value, entry.keyPosition) },
    );
  }
  const resolved = withoutEntry(node, "env_file");
  if (entries.size === 0) return withoutEntry(resolved, "environment");
  const position = environment?.position ?? service.position;
  return withEntry(resolved, "environment", { kind: "map", entries, position });
}

function readEnvFile(
  item: Cursor,
  { lookup, readFile }: Pick<ProjectEnvironment, "lookup" | "readFile">,
): ReadonlyMap<string, string> {
  const path = childOf(item.node, "path");
  if (path?.kind !== "scalar" || typeof path.value !== "string") return new Map();
  const required = childOf(item.node, "required");
  const bytes = readFile(path.value);
  if (bytes === undefined) {
    if (required?.kind === "scalar" && required.value === false) return new Map();
    item.diagnostics.error(keyPlace(item), `no such file: ${path.text}`);
    return new Map();
  }
  const format = textOf(item.node, "format");
  if (format !== undefined && format !== "raw") {
    const message = `unknown format ${JSON.stringify(format)}${didYouMean(format, ["raw"])}`;
    item.diagnostics.error(item, message);
  }
  return parseEnvFile(decodeSource(path.text, bytes), {
    lookup,
    diagnostics: item.diagnostics,
    format: format === "raw" ? "raw" : "compose",
  });
}

/** Merges the label files into `labels`, which has precedence. */
function withLabels(node: MapNode, service: Cursor, { lookup, readFile }: ProjectEnvironment): MapNode {
  const files = listFields(service).get("label_file");
  if (files === undefined) return node;
  const entries = new Map<string, MapEntry>();
  for (const item of readItems(files) ?? []) {
    const file = mapNode([["path", item.node]], item.position);
    for (const [name, value] of readEnvFile({ ...item, node: file }, { lookup, readFile })) {
      entries.set(name, { keyPosition: item.position, value: scalarNode(value, item.position) });
    }
  }
  const labels = childOf(node, "labels");
  for (const [name, entry] of labels?.kind === "map" ? labels.entries : []) entries.set(name, entry);
  const resolved = withoutEntry(node, "label_file");
  return withEntry(resolved, "labels", {
    kind: "map",
    entries,
    position: labels?.position ?? files.position,
  });
}

/** Sets the default Dockerfile, and looks up the build arguments without a value. */
function withBuildDefaults(node: MapNode, { lookup, keepVariables }: ProjectEnvironment): MapNode {
  const build = childOf(node, "build");
  if (build?.kind !== "map") return node;
  const hasDockerfile = build.entries.has("dockerfile") || build.entries.has("dockerfile_inline");
  const completed = hasDockerfile
    ? build
    : withEntry(build, "dockerfile", scalarNode(DEFAULT_DOCKERFILE, build.position));
  const args = childOf(completed, "args");
  if (args?.kind !== "map" || keepVariables) return withEntry(node, "build", completed);
  const entries = new Map<string, MapEntry>();
  for (const [name, entry] of args.entries) {
    const value = isNull(entry.value) ? lookup(name) : undefined;
    if (!isNull(entry.value)) {
      entries.set(name, entry);
    } else if (value !== undefined) {
      entries.set(name, { ...entry, value: scalarNode(value, entry.keyPosition) });
    }
  }
  return withEntry(node, "build", withEntry(completed, "args", { ...args, entries }));
}

/** Adds the default network to a service without networks and without a network mode. */
function withDefaultNetwork(node: MapNode): MapNode {
  if (node.entries.has("network_mode") || node.entries.has("provider")) return node;
  const networks = childOf(node, "networks");
  if (networks?.kind === "map" && networks.entries.size > 0) return node;
  if (networks !== undefined && isUnresolved(networks)) return node;
  const { position } = node;
  return withEntry(
    node,
    "networks",
    mapNode([[DEFAULT_NETWORK, implied(scalarNode(null, position))]], position),
  );
}

/** Adds the dependencies that links, shared namespaces and shared mounts imply. */
function withImpliedDependencies(node: MapNode): MapNode {
  const existing = childOf(node, "depends_on");
  if (existing !== undefined && isUnresolved(existing)) return node;
  const entries = new Map(existing?.kind === "map" ? existing.entries : []);
  const add = (service: string, restart: boolean, at: Node): void => {
    if (entries.has(service)) return;
    const { position } = at;
    const value = implied(
      mapNode(
        [
          ["condition", scalarNode("service_started", position)],
          ["restart", scalarNode(restart, position)],
          ["required", scalarNode(true, position)],
        ],
        position,
      ),
    );
    entries.set(service, { keyPosition: position, value });
  };
  for (const item of itemsOf(node, "links")) add(firstPart(item), true, item);
  for (const key of NAMESPACE_KEYS) {
    const value = childOf(node, key);
    const [, service] = /^service:(.*)$/.exec(textOf(node, key) ?? "") ?? [];
    if (value !== undefined && service !== undefined) add(service, true, value);
  }
  for (const item of itemsOf(node, "volumes_from")) {
    const service = firstPart(item);
    if (service !== "container") add(service, false, item);
  }
  if (entries.size === 0) return node;
  return withEntry(node, "depends_on", {
    kind: "map",
    entries,
    position: existing?.position ?? node.position,
  });
}

/**
 * Returns whether a value that should be a mapping is still text or a list, because variables in it were not replaced.
 */
function isUnresolved(node: Node): boolean {
  return hasVariables(node) || node.kind === "list";
}

function itemsOf(node: MapNode, key: string): readonly Node[] {
  const list = childOf(node, key);
  return list?.kind === "list" ? list.items : [];
}

/** Returns the part of text before the first colon. */
function firstPart(node: Node): string {
  return node.kind === "scalar" ? (node.text.split(":")[0] ?? "") : "";
}
