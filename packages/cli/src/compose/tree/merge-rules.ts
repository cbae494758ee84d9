import { parseShortMount } from "../text/parse-mount.js";
import { parseShortPorts } from "../text/parse-port.js";
import type { Node } from "./node.js";
import { scalarText } from "./node.js";

/**
 * How a value of a later file meets that of an earlier one, where it is not the plain way (mappings merge, lists
 * append without repeating, everything else is replaced).
 */
export type MergeRule =
  /** The later value stands alone. */
  | { readonly kind: "replace" }
  /** A list is short for a mapping: `KEY=VALUE`, or names alone. */
  | { readonly kind: "mapping" }
  /** A scalar is short for a list with one item. */
  | { readonly kind: "list" }
  /** Items of both lists are the same thing when they have the same key; the later one stays. */
  | { readonly kind: "keyed"; readonly keyOf: (item: Node) => string }
  /** The mappings merge only when both have the same value under this key. */
  | { readonly kind: "same"; readonly key: string };

const REPLACE: MergeRule = { kind: "replace" };
const MAPPING: MergeRule = { kind: "mapping" };
const LIST: MergeRule = { kind: "list" };

/** By the path of the value; `*` is any name. */
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

/** The rule for the value at a path; undefined: the plain way. */
export function mergeRuleOf(path: readonly string[]): MergeRule | undefined {
  return RULE_PATHS.find(
    ({ parts }) =>
      parts.length === path.length && parts.every((part, at) => part === "*" || part === path[at]),
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
