import { posix } from "node:path";
import { childOf, type Node, scalarText, textOf } from "./node.js";

/**
 * Determines how `mergeNodes` combines a canonical value of a later file with the value of an earlier file. By default
 * it merges mappings, appends lists without duplicates, and replaces scalars.
 */
export type MergeRule =
  /** The later value replaces the earlier one. */
  | { readonly kind: "replace" }
  /** Lists are appended. An item replaces an earlier item with the same key. */
  | { readonly kind: "keyed"; readonly keyOf: (item: Node) => string }
  /** Lists of mappings are appended. An item is merged with an earlier item that has the same value under this key. */
  | { readonly kind: "merged"; readonly key: string }
  /** Mappings with the same value under this key are merged. Otherwise, the later one replaces the earlier one. */
  | { readonly kind: "discriminated"; readonly key: string };

const REPLACE_RULE: MergeRule = { kind: "replace" };

/** Merge rules by the path of the value. `*` matches any name. */
const MERGE_RULES: Readonly<Record<string, MergeRule>> = {
  "services.*.command": REPLACE_RULE,
  "services.*.entrypoint": REPLACE_RULE,
  "services.*.healthcheck.test": REPLACE_RULE,
  "services.*.ulimits.*": REPLACE_RULE,
  "services.*.logging": { kind: "discriminated", key: "driver" },
  "services.*.volumes": { kind: "keyed", keyOf: (item) => textOf(item, "target") ?? "" },
  "services.*.devices": { kind: "keyed", keyOf: (item) => textOf(item, "target") ?? "" },
  "services.*.secrets": { kind: "keyed", keyOf: (item) => fileTarget(item, "/run/secrets") },
  "services.*.configs": { kind: "keyed", keyOf: (item) => fileTarget(item, "/") },
  "services.*.ports": { kind: "keyed", keyOf: portKey },
  "services.*.env_file": { kind: "keyed", keyOf: (item) => textOf(item, "path") ?? "" },
  "networks.*.ipam.config": { kind: "merged", key: "subnet" },
};

const RULE_PATHS = Object.entries(MERGE_RULES).map(([path, rule]) => ({ parts: path.split("."), rule }));

/** Returns the rule for the value at a path, or undefined for the default behavior. */
export function findMergeRule(path: readonly string[]): MergeRule | undefined {
  return RULE_PATHS.find(
    ({ parts }) =>
      parts.length === path.length && parts.every((part, index) => part === "*" || part === path[index]),
  )?.rule;
}

/** Removes items with equal keys: the last one replaces the first one in its position. Items without a key are kept. */
export function uniqueItems(items: readonly Node[], keyOf: (item: Node) => string): readonly Node[] {
  const unique = new Map<string, Node>();
  for (const item of items) unique.set(itemKey(item, keyOf) || `#${unique.size}`, item);
  return [...unique.values()];
}

/** Returns the key of an item. An item whose variables were not replaced is its own key. */
export function itemKey(item: Node, keyOf: (item: Node) => string): string {
  return item.kind === "scalar" && item.hasVariables === true ? item.text : keyOf(item);
}

/** Returns the absolute target of a secret or config in a container. */
export function fileTarget(item: Node, directory: string): string {
  const target = textOf(item, "target") ?? textOf(item, "source") ?? "";
  return posix.resolve(directory, target);
}

/** Returns the same key for ports that cannot both be published. */
export function portKey(port: Node): string {
  const [address = "0.0.0.0", published = "", target = "", protocol = "tcp"] = [
    "host_ip",
    "published",
    "target",
    "protocol",
  ].map((key) => fieldText(port, key));
  return `${address}:${published}:${target}/${protocol}`;
}

function fieldText(node: Node, key: string): string | undefined {
  const child = childOf(node, key);
  return child?.kind === "scalar" ? scalarText(child) : undefined;
}
