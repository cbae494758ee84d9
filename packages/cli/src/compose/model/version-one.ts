import type { Diagnostics } from "../text/diagnostics.js";
import { childOf, type MapEntry, type MapNode, mapNode, type Node, scalarNode } from "../tree/node.js";

/** Sections of the current format. A file with one of them is not in version 1. */
const SECTIONS = ["services", "volumes", "networks", "secrets", "configs", "include", "name", "models"];
/** Keys of a service. Every service in version 1 has one of them. */
const SERVICE_KEYS = ["image", "build", "extends"];

/**
 * Converts a file in format version 1, in which the services are at the top level, to the current format. Returns any
 * other file as it is.
 */
export function convertVersionOne(root: Node, diagnostics: Diagnostics): Node {
  if (root.kind !== "map" || !isVersionOne(root)) return root;
  const services = new Map<string, MapEntry>();
  const topLevel = new Map<string, MapEntry>();
  for (const [key, entry] of root.entries) {
    if (key === "version" || key.startsWith("x-")) {
      topLevel.set(key, entry);
    } else {
      services.set(key, { ...entry, value: convertService(entry.value, root) });
    }
  }
  const message = "the file has Compose file format 1; put the services under services:";
  diagnostics.warn({ position: root.position, path: "" }, message);
  const servicesNode: MapNode = { kind: "map", entries: services, position: root.position };
  return {
    ...root,
    entries: topLevel.set("services", { keyPosition: root.position, value: servicesNode }),
  };
}

function isVersionOne(root: MapNode): boolean {
  const keys = [...root.entries.keys()].filter((key) => key !== "version" && !key.startsWith("x-"));
  if (keys.length === 0 || keys.some((key) => SECTIONS.includes(key))) return false;
  return keys.every((key) =>
    SERVICE_KEYS.some((name) => childOf(root.entries.get(key)?.value, name) !== undefined),
  );
}

/** Replaces the keys of version 1 with their successors. */
function convertService(service: Node, root: MapNode): Node {
  if (service.kind !== "map") return service;
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of service.entries) {
    const converted = convertKey(key, entry.value, service, root);
    if (converted === undefined) continue;
    const [name, value] = converted;
    entries.set(name, { keyPosition: entry.keyPosition, value });
  }
  return { ...service, entries };
}

function convertKey(
  key: string,
  value: Node,
  service: MapNode,
  root: MapNode,
): readonly [string, Node] | undefined {
  const { position } = value;
  switch (key) {
    case "net":
      return ["network_mode", networkMode(value, root)];
    case "dockerfile":
      return undefined;
    case "build": {
      const dockerfile = childOf(service, "dockerfile");
      if (dockerfile === undefined || value.kind !== "scalar") return [key, value];
      return [
        key,
        mapNode(
          [
            ["context", value],
            ["dockerfile", dockerfile],
          ],
          position,
        ),
      ];
    }
    case "log_driver":
      return ["logging", logging(value, childOf(service, "log_opt"))];
    case "log_opt":
      return childOf(service, "log_driver") === undefined
        ? ["logging", logging(undefined, value)]
        : undefined;
    default:
      return [key, value];
  }
}

/** Converts `container:NAME` to `service:NAME` if a service of the file has the name. */
function networkMode(value: Node, root: MapNode): Node {
  const text = value.kind === "scalar" ? String(value.value ?? "") : "";
  const [, name] = /^container:(.+)$/.exec(text) ?? [];
  if (name === undefined || !root.entries.has(name)) return value;
  return scalarNode(`service:${name}`, value.position);
}

function logging(driver: Node | undefined, options: Node | undefined): Node {
  const fields: (readonly [string, Node])[] = [];
  if (driver !== undefined) fields.push(["driver", driver]);
  if (options !== undefined) fields.push(["options", options]);
  const position = (driver ?? options)?.position;
  if (position === undefined) throw new RangeError("logging needs a driver or options");
  return mapNode(fields, position);
}
