import { parseShortMount } from "../text/short-mount.js";
import { parseShortPorts } from "../text/short-port.js";
import type { Node } from "./node.js";
import { scalarText } from "./node.js";

/**
 * How a value of a later file combines with that of an earlier file. Without a rule, mappings are merged, lists are
 * appended without duplicates, and scalars are replaced.
 */
export type MergeRule =
  /** The later value replaces the earlier one. */
  | { readonly kind: "replace" }
  /** A list of `KEY=VALUE` or of names is converted to a mapping, then merged. */
  | { readonly kind: "mapping" }
  /** A scalar is converted to a list with one item, then appended. */
  | { readonly kind: "list" }
  /** Lists are appended; of items with the same key, the later one wins. */
  | { readonly kind: "keyed"; readonly keyOf: (item: Node) => string }
  /** Mappings are merged if both have the same value under this key; otherwise the later one replaces the earlier. */
  | { readonly kind: "same"; readonly key: string };

const REPLACE: MergeRule = { kind: "replace" };
const MAPPING: MergeRule = { kind: "mapping" };
const LIST: MergeRule = { kind: "list" };

/** By the path of the value. `*` matches any name. */
const RULES: Readonly<Record<string, MergeRule>> = {
  "services.*.command": REPLACE,
  "services.*.entrypoint": REPLACE,
  "services.*.healthcheck.test": REPLACE,
  "services.*.ulimits.*": REPLACE,
  "services.*.environment": MAPPING,
  "services.*.labels": MAPPING,
  "services.*.annotations": MAPPING,
  "services.*.sysctls": MAPPING,
  "services.*.depends_on": MAPPING,
  "services.*.networks": MAPPING,
  "services.*.build.args": MAPPING,
  "services.*.build.labels": MAPPING,
  "services.*.deploy.labels": MAPPING,
  "volumes.*.labels": MAPPING,
  "networks.*.labels": MAPPING,
  "networks.*.driver_opts": MAPPING,
  "services.*.logging": { kind: "same", key: "driver" },
  "services.*.volumes": { kind: "keyed", keyOf: mountTarget },
  "services.*.devices": { kind: "keyed", keyOf: mountTarget },
  "services.*.secrets": { kind: "keyed", keyOf: fileTarget },
  "services.*.configs": { kind: "keyed", keyOf: fileTarget },
  "services.*.ports": { kind: "keyed", keyOf: portKey },
  "services.*.env_file": LIST,
  "services.*.label_file": LIST,
  "services.*.tmpfs": LIST,
  "services.*.dns": LIST,
  "services.*.dns_search": LIST,
};

const RULE_PATHS = Object.entries(RULES).map(([path, rule]) => ({ parts: path.split("."), rule }));

/** Returns the rule for the value at a path, or undefined for the default behavior. */
export function mergeRuleOf(path: readonly string[]): MergeRule | undefined {
  return RULE_PATHS.find(
    ({ parts }) =>
      parts.length === path.length && parts.every((part, index) => part === "*" || part === path[index]),
  )?.rule;
}

function field(node: Node, name: string): string | undefined {
  const value = node.kind === "map" ? node.entries.get(name)?.value : undefined;
  return value?.kind === "scalar" ? scalarText(value) : undefined;
}

function mountTarget(item: Node): string {
  if (item.kind !== "scalar") return field(item, "target") ?? "";
  const parsed = parseShortMount(scalarText(item));
  return parsed.kind === "value" ? parsed.value.target : scalarText(item);
}

function fileTarget(item: Node): string {
  if (item.kind === "scalar") return scalarText(item);
  return field(item, "target") ?? field(item, "source") ?? "";
}

function portKey(item: Node): string {
  if (item.kind !== "scalar") {
    const [ip = "", target = "", published = "", protocol = "tcp"] = [
      field(item, "host_ip"),
      field(item, "target"),
      field(item, "published"),
      field(item, "protocol"),
    ];
    return `${ip}|${target}|${published}|${protocol}`;
  }
  const text = scalarText(item);
  const parsed = parseShortPorts(text);
  if (parsed.kind === "invalid" || parsed.value.ports.length !== 1) return text;
  const [port] = parsed.value.ports;
  return `${port?.hostIp}|${port?.target}|${port?.published || ""}|${port?.protocol}`;
}
