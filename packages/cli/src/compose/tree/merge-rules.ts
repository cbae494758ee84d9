import { FileKind } from "@berth/proto";
import { resolveFileTarget } from "../text/file-target.js";
import { parseShortMount } from "../text/short-mount.js";
import { parseShortPorts } from "../text/short-port.js";
import type { Node } from "./node.js";
import { scalarText } from "./node.js";

/**
 * Determines how `mergeTrees` combines a value of a later file with the value of an earlier file. By default it merges
 * mappings, appends lists without duplicates, and replaces scalars.
 */
export type MergeRule =
  /** The later value replaces the earlier one. */
  | { readonly kind: "replace" }
  /** A list of `KEY=VALUE` or of names is converted to a mapping, then merged. */
  | { readonly kind: "mapping" }
  /** A scalar is converted to a list with one item, then appended. */
  | { readonly kind: "list" }
  /** Lists are appended. An item replaces an earlier item with the same key. */
  | { readonly kind: "keyed"; readonly keyOf: (item: Node) => string }
  /** Mappings with the same value under this key are merged. Otherwise, the later one replaces the earlier one. */
  | { readonly kind: "discriminated"; readonly key: string };

const REPLACE: MergeRule = { kind: "replace" };
const MAPPING: MergeRule = { kind: "mapping" };
const LIST: MergeRule = { kind: "list" };

/** The rules by the path of the value. `*` matches any name. */
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
  "secrets.*.labels": MAPPING,
  "configs.*.labels": MAPPING,
  "services.*.logging": { kind: "discriminated", key: "driver" },
  "services.*.volumes": { kind: "keyed", keyOf: mountTarget },
  "services.*.devices": { kind: "keyed", keyOf: mountTarget },
  "services.*.secrets": { kind: "keyed", keyOf: (item) => fileTarget(FileKind.SECRET, item) },
  "services.*.configs": { kind: "keyed", keyOf: (item) => fileTarget(FileKind.CONFIG, item) },
  "services.*.ports": { kind: "keyed", keyOf: portKey },
  "services.*.env_file": LIST,
  "services.*.label_file": LIST,
  "services.*.tmpfs": LIST,
  "services.*.dns": LIST,
  "services.*.dns_search": LIST,
};

const RULE_PATHS = Object.entries(RULES).map(([path, rule]) => ({ parts: path.split("."), rule }));

/** Returns the rule for the value at a path, or undefined for the default behavior. */
export function findMergeRule(path: readonly string[]): MergeRule | undefined {
  return RULE_PATHS.find(
    ({ parts }) =>
      parts.length === path.length && parts.every((part, index) => part === "*" || part === path[index]),
  )?.rule;
}

function fieldText(node: Node, name: string): string | undefined {
  const value = node.kind === "map" ? node.entries.get(name)?.value : undefined;
  return value?.kind === "scalar" ? scalarText(value) : undefined;
}

function mountTarget(item: Node): string {
  if (item.kind !== "scalar") return fieldText(item, "target") ?? "";
  const parsed = parseShortMount(scalarText(item));
  return parsed.kind === "value" ? parsed.value.target : scalarText(item);
}

function fileTarget(kind: FileKind, item: Node): string {
  const text = item.kind === "scalar" ? scalarText(item) : fieldText(item, "target");
  const target = text ?? fieldText(item, "source");
  return target === undefined ? "" : resolveFileTarget(kind, target);
}

/** Returns the same key for the short and the long form of a port. */
function portKey(item: Node): string {
  if (item.kind !== "scalar") {
    const protocol = fieldText(item, "protocol") ?? "tcp";
    const [address, target, published] = ["host_ip", "target", "published"].map(
      (name) => fieldText(item, name) ?? "",
    );
    return `${address}|${target}|${published}|${protocol}`;
  }
  const text = scalarText(item);
  const parsed = parseShortPorts(text);
  if (parsed.kind === "invalid" || parsed.value.ports.length !== 1) return text;
  const [port] = parsed.value.ports;
  return `${port?.hostIp}|${port?.target}|${port?.published || ""}|${port?.protocol}`;
}
