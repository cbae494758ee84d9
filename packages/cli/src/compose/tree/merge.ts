import { assertNever } from "@berth/proto";
import type { Diagnostics } from "../text/diagnostics.js";
import { findMergeRule, type MergeRule } from "./merge-rules.js";
import {
  describeNode,
  isNull,
  type ListNode,
  type MapEntry,
  type MapNode,
  type Node,
  scalarNode,
  scalarText,
} from "./node.js";

/** Merges the parsed files of a stack as Compose does. Later files override earlier ones. */
export function mergeTrees(roots: readonly Node[], diagnostics: Diagnostics): Node | undefined {
  const [first, ...others] = roots;
  if (first === undefined) return undefined;
  const merged = others.reduce(
    (earlier, later) => mergeNodes({ earlier, later, path: [], diagnostics }),
    first,
  );
  return withoutResets(merged);
}

/** A merge of two values at the same path. */
interface Merge {
  readonly earlier: Node;
  readonly later: Node;
  readonly path: readonly string[];
  readonly diagnostics: Diagnostics;
}

function mergeNodes(merge: Merge): Node {
  const { earlier, later, path } = merge;
  if (later.mergeTag !== undefined || isNull(earlier)) return later;
  // An empty `key:` in a later file keeps the earlier list or mapping.
  if (isNull(later) && earlier.kind !== "scalar") return earlier;
  return mergeByRule(merge, findMergeRule(path));
}

function mergeByRule(merge: Merge, rule: MergeRule | undefined): Node {
  const { earlier, later } = merge;
  switch (rule?.kind) {
    case "replace":
      return later;
    case "mapping":
      return mergeByDefault({ ...merge, earlier: asMapping(earlier), later: asMapping(later) });
    case "list":
      return mergeByDefault({ ...merge, earlier: asList(earlier), later: asList(later) });
    case "keyed":
      if (earlier.kind !== "list" || later.kind !== "list") return mergeByDefault(merge);
      return mergeKeyed(earlier, later, rule.keyOf);
    case "discriminated":
      return haveSameValue(earlier, later, rule.key) ? mergeByDefault(merge) : later;
    case undefined:
      return mergeByDefault(merge);
    default:
      return assertNever(rule);
  }
}

function mergeByDefault(merge: Merge): Node {
  const { earlier, later, path, diagnostics } = merge;
  if (earlier.kind === "map" && later.kind === "map") return mergeMaps(earlier, later, merge);
  if (earlier.kind === "list" && later.kind === "list") return mergeKeyed(earlier, later, scalarKey);
  if (earlier.kind !== later.kind) {
    const message = `cannot merge ${describeNode(later)} with ${describeNode(earlier)} in ${earlier.position.source.name}`;
    diagnostics.error({ position: later.position, path: path.join(".") }, message);
  }
  return later;
}

function mergeMaps(earlier: MapNode, later: MapNode, { path, diagnostics }: Merge): MapNode {
  const entries = new Map<string, MapEntry>(earlier.entries);
  for (const [key, entry] of later.entries) {
    const existing = entries.get(key);
    if (existing === undefined) {
      entries.set(key, entry);
      continue;
    }
    const value = mergeNodes({
      earlier: existing.value,
      later: entry.value,
      path: [...path, key],
      diagnostics,
    });
    entries.set(key, { keyPosition: entry.keyPosition, value });
  }
  return { ...earlier, entries };
}

/** Appends lists. An item replaces an earlier item with the same key. All items without a key are kept. */
function mergeKeyed(earlier: ListNode, later: ListNode, keyOf: (item: Node) => string): ListNode {
  const items = new Map<string, Node>();
  for (const item of [...earlier.items, ...later.items]) items.set(keyOf(item) || `#${items.size}`, item);
  return { ...earlier, items: [...items.values()] };
}

/** Returns a key by which equal scalars are duplicates. Other nodes have no key. */
function scalarKey(item: Node): string {
  return item.kind === "scalar" ? `=${scalarText(item)}` : "";
}

/** Converts a list of `KEY=VALUE` or of names to a mapping. */
function asMapping(node: Node): Node {
  if (node.kind !== "list" || node.items.some(({ kind }) => kind !== "scalar")) return node;
  const entries = new Map<string, MapEntry>();
  for (const item of node.items) {
    const text = item.kind === "scalar" ? scalarText(item) : "";
    const equals = text.indexOf("=");
    const key = equals < 0 ? text : text.slice(0, equals);
    const value = equals < 0 ? null : text.slice(equals + 1);
    entries.set(key, { keyPosition: item.position, value: scalarNode(value, item.position) });
  }
  return { kind: "map", entries, position: node.position };
}

function asList(node: Node): Node {
  return node.kind === "scalar" ? { kind: "list", items: [node], position: node.position } : node;
}

function haveSameValue(earlier: Node, later: Node, key: string): boolean {
  if (earlier.kind !== "map" || later.kind !== "map") return true;
  const [before, after] = [earlier.entries.get(key)?.value, later.entries.get(key)?.value];
  if (before?.kind !== "scalar" || after?.kind !== "scalar") return true;
  return scalarText(before) === scalarText(after);
}

/** Removes the keys that are tagged `!reset`. */
function withoutResets(node: Node): Node {
  if (node.kind === "list") return { ...node, items: node.items.map(withoutResets) };
  if (node.kind === "scalar") return node;
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of node.entries) {
    if (entry.value.mergeTag !== "reset") entries.set(key, { ...entry, value: withoutResets(entry.value) });
  }
  return { ...node, entries };
}
