import type { Node } from "@berth/proto";

const NODE_LABEL = "node.labels.";
const ENGINE_LABEL = "engine.labels.";

/** Docker's architecture names, by the names that `uname` reports. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** Returns an attribute of a node for placement, by its canonical name, or undefined if the node has no such label. */
export function getAttribute(node: Node, attribute: string): string | undefined {
  if (attribute.startsWith(NODE_LABEL)) return getLabel(node.labels, attribute.slice(NODE_LABEL.length));
  const { description } = node;
  if (attribute.startsWith(ENGINE_LABEL)) {
    return getLabel(description?.engineLabels ?? {}, attribute.slice(ENGINE_LABEL.length));
  }
  switch (attribute) {
    case "node.id":
      return node.id;
    case "node.hostname":
      return description?.hostname ?? "";
    case "node.ip":
      return description?.address ?? "";
    case "node.role":
      return node.hostsServer ? "manager" : "worker";
    case "node.platform.os":
      return description?.os ?? "";
    case "node.platform.arch":
      return description?.architecture ?? "";
    default:
      return undefined;
  }
}

/** Returns Docker's name of an architecture: `amd64` for `x86_64`. */
export function architectureName(name: string): string {
  return ARCHITECTURES[name] ?? name;
}

function getLabel(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
