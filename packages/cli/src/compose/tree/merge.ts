import { assertNever } from "@berth/proto";
import type { Diagnostics } from "../text/diagnostics.js";
import { findMergeRule, type MergeRule, uniqueItems } from "./merge-rules.js";
import {
  describeNode,
  isNull,
  type ListNode,
  type MapEntry,
  type MapNode,
  type Node,
  scalarText,
  textOf,
} from "./node.js";

/** A merge of two canonical values at the same path. */
export interface Merge {
  readonly earlier: Node;
  readonly later: Node;
  readonly path: readonly string[];
  readonly diagnostics: Diagnostics;
}

/**
 * Merges two canonical values as Compose does. The later value overrides the earlier one. Values with the tag `!reset`
 * remain until `withoutResets` removes them, because further files may follow.
 */
export function mergeNodes(merge: Merge): Node {
  const { earlier, later, path } = merge;
  if (later.mergeTag !== undefined || earlier.mergeTag === "reset" || isNull(earlier)) return later;
  const rule = findMergeRule(path);
  // An empty `key:` in a later file keeps the earlier value, but an empty variable replaces it.
  if (isNull(later) && !isVariable(path)) return earlier;
  return mergeByRule(merge, rule);
}

/** Returns whether a path belongs to a variable, for which null stands for the value in the environment. */
function isVariable(path: readonly string[]): boolean {
  const parent = path.at(-2);
  return parent === "environment" || parent === "args";
}

function mergeByRule(merge: Merge, rule: MergeRule | undefined): Node {
  const { earlier, later } = merge;
  switch (rule?.kind) {
    case "replace":
      return later;
    case "keyed":
      if (earlier.kind !== "list" || later.kind !== "list") return mergeByDefault(merge);
      return { ...earlier, items: uniqueItems([...earlier.items, ...later.items], rule.keyOf) };
    case "merged":
      if (earlier.kind !== "list" || later.kind !== "list") return mergeByDefault(merge);
      return mergeItems({ ...merge, earlier, later }, rule.key);
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
  if (earlier.kind === "list" && later.kind === "list") {
    return { ...earlier, items: uniqueItems([...earlier.items, ...later.items], scalarKey) };
  }
  if (earlier.kind !== later.kind) {
    const message = `cannot merge ${describeNode(later)} with ${describeNode(earlier)} in ${earlier.position.source.name}`;
    diagnostics.error({ position: later.position, path: path.join(".") }, message);
  }
  return later;
}

/** Appends a list of mappings. An item is merged with an earlier item that has the same value under the key. */
function mergeItems(
  { earlier, later, path, diagnostics }: Merge & { readonly earlier: ListNode; readonly later: ListNode },
  key: string,
): ListNode {
  const items = [...earlier.items];
  for (const item of later.items) {
    const index = items.findIndex((other) => textOf(other, key) === textOf(item, key));
    const other = items[index];
    if (other === undefined) {
      items.push(item);
    } else {
      items[index] = mergeNodes({ earlier: other, later: item, path: [...path, "*"], diagnostics });
    }
  }
  return { ...earlier, items };
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

/** Returns a key by which equal scalars are duplicates. Other nodes have no key. */
function scalarKey(item: Node): string {
  return item.kind === "scalar" ? `=${scalarText(item)}` : "";
}

function haveSameValue(earlier: Node, later: Node, key: string): boolean {
  if (earlier.kind !== "map" || later.kind !== "map") return true;
  const [before, after] = [earlier.entries.get(key)?.value, later.entries.get(key)?.value];
  if (before?.kind !== "scalar" || after?.kind !== "scalar") return true;
  return scalarText(before) === scalarText(after);
}

/** Removes the keys that are tagged `!reset`. */
export function withoutResets(node: Node): Node {
  if (node.kind === "list") return { ...node, items: node.items.map(withoutResets) };
  if (node.kind === "scalar") return node;
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of node.entries) {
    if (entry.value.mergeTag !== "reset") entries.set(key, { ...entry, value: withoutResets(entry.value) });
  }
  return { ...node, entries };
}
