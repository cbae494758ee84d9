import { assertNever } from "@berth/proto";
import type { Diagnostics } from "../text/diagnostics.js";
import { type MergeRule, mergeRuleOf } from "./merge-rules.js";
import {
  describeNode,
  isNull,
  type ListNode,
  type MapEntry,
  type MapNode,
  type Node,
  scalarText,
} from "./node.js";

/** Merges files as Compose does. Later files override earlier ones. */
export function mergeTrees(roots: readonly Node[], diagnostics: Diagnostics): Node | undefined {
  const [first, ...others] = roots;
  if (first === undefined) return undefined;
  const merged = others.reduce((base, over) => mergeNodes({ base, over, path: [], diagnostics }), first);
  return withoutResets(merged);
}

interface Merge {
  readonly base: Node;
  readonly over: Node;
  readonly path: readonly string[];
  readonly diagnostics: Diagnostics;
}

function mergeNodes(merge: Merge): Node {
  const { base, over, path } = merge;
  if (over.mergeTag !== undefined || isNull(base)) return over;
  // An empty `key:` in a later file keeps the earlier list or mapping.
  if (isNull(over) && base.kind !== "scalar") return base;
  return mergeByRule(merge, mergeRuleOf(path));
}

function mergeByRule(merge: Merge, rule: MergeRule | undefined): Node {
  const { base, over } = merge;
  switch (rule?.kind) {
    case "replace":
      return over;
    case "mapping":
      return mergeByDefault({ ...merge, base: asMapping(base), over: asMapping(over) });
    case "list":
      return mergeByDefault({ ...merge, base: asList(base), over: asList(over) });
    case "keyed":
      if (base.kind !== "list" || over.kind !== "list") return mergeByDefault(merge);
      return mergeKeyed(base, over, rule.keyOf);
    case "same":
      return haveSameValue(base, over, rule.key) ? mergeByDefault(merge) : over;
    case undefined:
      return mergeByDefault(merge);
    default:
      return assertNever(rule);
  }
}

function mergeByDefault(merge: Merge): Node {
  const { base, over, path, diagnostics } = merge;
  if (base.kind === "map" && over.kind === "map") return mergeMaps(base, over, merge);
  if (base.kind === "list" && over.kind === "list") return mergeKeyed(base, over, scalarKey);
  if (base.kind !== over.kind) {
    const message = `cannot merge ${describeNode(over)} with ${describeNode(base)} in ${base.position.source.name}`;
    diagnostics.error({ position: over.position, path: path.join(".") }, message);
  }
  return over;
}

function mergeMaps(base: MapNode, over: MapNode, { path, diagnostics }: Merge): MapNode {
  const entries = new Map<string, MapEntry>(base.entries);
  for (const [key, entry] of over.entries) {
    const earlier = entries.get(key);
    if (earlier === undefined) entries.set(key, entry);
    else {
      const value = mergeNodes({ base: earlier.value, over: entry.value, path: [...path, key], diagnostics });
      entries.set(key, { keyPosition: entry.keyPosition, value });
    }
  }
  return { ...base, entries };
}

function mergeKeyed(base: ListNode, over: ListNode, keyOf: (item: Node) => string): ListNode {
  const items = new Map<string, Node>();
  for (const item of [...base.items, ...over.items]) items.set(keyOf(item) || `#${items.size}`, item);
  return { ...base, items: [...items.values()] };
}

/** Returns a key by which equal scalars are duplicates. Other nodes have no key. */
function scalarKey(item: Node): string {
  return item.kind === "scalar" ? `=${scalarText(item)}` : "";
}

function asMapping(node: Node): Node {
  if (node.kind !== "list" || node.items.some(({ kind }) => kind !== "scalar")) return node;
  const entries = new Map<string, MapEntry>();
  for (const item of node.items) {
    const text = item.kind === "scalar" ? scalarText(item) : "";
    const equals = text.indexOf("=");
    const key = equals < 0 ? text : text.slice(0, equals);
    const value = equals < 0 ? null : text.slice(equals + 1);
    entries.set(key, {
      keyPosition: item.position,
      value: { kind: "scalar", value, text: value ?? "", position: item.position },
    });
  }
  return { kind: "map", entries, position: node.position };
}

function asList(node: Node): Node {
  return node.kind === "scalar" ? { kind: "list", items: [node], position: node.position } : node;
}

function haveSameValue(base: Node, over: Node, key: string): boolean {
  if (base.kind !== "map" || over.kind !== "map") return true;
  const [before, after] = [base.entries.get(key)?.value, over.entries.get(key)?.value];
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
