import type { SourceSpan } from "../text/source.js";

/** Maximum number of characters of a value that an error quotes. */
const MAX_QUOTED = 60;

/** A YAML value with its position. Immutable: aliases share nodes, and merging creates new ones. */
export type Node = ScalarNode | MapNode | ListNode;

export type Scalar = string | number | boolean | null;

interface NodeBase {
  readonly position: SourceSpan;
  /** Compose's tag `!reset` or `!override`, which `mergeNodes` applies. */
  readonly mergeTag?: "reset" | "override";
  /** True for a value that is not in a file: a default, or a value that another key implies. */
  readonly isImplied?: true;
}

export interface ScalarNode extends NodeBase {
  readonly kind: "scalar";
  readonly value: Scalar;
  /** The value as written, since the form of some numbers matters ("0440", "1.10"). */
  readonly text: string;
  /** True for text whose variables were not replaced. */
  readonly hasVariables?: true;
}

export interface MapNode extends NodeBase {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, MapEntry>;
}

export interface MapEntry {
  readonly keyPosition: SourceSpan;
  readonly value: Node;
}

export interface ListNode extends NodeBase {
  readonly kind: "list";
  readonly items: readonly Node[];
}

/** Creates a scalar that is not written in a YAML file in this form. */
export function scalarNode(value: Scalar, position: SourceSpan, text = String(value ?? "")): ScalarNode {
  return { kind: "scalar", value, text, position };
}

/** Creates a mapping whose keys have the position of their values. */
export function mapNode(fields: Iterable<readonly [key: string, Node]>, position: SourceSpan): MapNode {
  const entries = [...fields].map(([key, value]) => [key, { keyPosition: value.position, value }] as const);
  return { kind: "map", entries: new Map(entries), position };
}

/** Marks a value as one that is not in a file. */
export function implied<T extends Node>(node: T): T {
  return { ...node, isImplied: true };
}

export function listNode(items: readonly Node[], position: SourceSpan): ListNode {
  return { kind: "list", items, position };
}

/** Returns a mapping with a key set to a value. */
export function withEntry(map: MapNode, key: string, value: Node): MapNode {
  const keyPosition = map.entries.get(key)?.keyPosition ?? value.position;
  return { ...map, entries: new Map(map.entries).set(key, { keyPosition, value }) };
}

/** Returns a mapping without a key. */
export function withoutEntry(map: MapNode, key: string): MapNode {
  const entries = new Map(map.entries);
  entries.delete(key);
  return { ...map, entries };
}

/** Returns the value of a key, or undefined if the node is not a mapping, or does not have the key. */
export function childOf(node: Node | undefined, key: string): Node | undefined {
  return node?.kind === "map" ? node.entries.get(key)?.value : undefined;
}

/** Returns the value of a key if it is text. */
export function textOf(node: Node | undefined, key: string): string | undefined {
  const child = childOf(node, key);
  return child?.kind === "scalar" && typeof child.value === "string" ? child.value : undefined;
}

/** Describes a node for an error message: `a list`, `the number 3`. */
export function describeNode(node: Node): string {
  if (node.kind === "map") return "a mapping";
  if (node.kind === "list") return "a list";
  if (node.value === null) return "nothing";
  if (typeof node.value === "string") return `the text ${JSON.stringify(clip(node.value))}`;
  return typeof node.value === "number" ? `the number ${node.text}` : `${node.value}`;
}

/** Returns whether the variables of a value were not replaced, so that its form is not known. */
export function hasVariables(node: Node): boolean {
  return node.kind === "scalar" && node.hasVariables === true;
}

export function isNull(node: Node): boolean {
  return node.kind === "scalar" && node.value === null;
}

/** Returns a scalar as text. Variables, labels and options can be written as numbers and booleans. */
export function scalarText(node: ScalarNode): string {
  return node.value === null ? "" : String(node.value);
}

function clip(text: string): string {
  return text.length <= MAX_QUOTED ? text : `${text.slice(0, MAX_QUOTED)}…`;
}

/** Returns whether two nodes have the same values, regardless of their positions. */
export function haveEqualValues(a: Node, b: Node): boolean {
  if (a.kind === "scalar") return b.kind === "scalar" && a.value === b.value;
  if (a.kind === "list") {
    return (
      b.kind === "list" &&
      a.items.length === b.items.length &&
      a.items.every((item, index) => haveEqualValues(item, b.items[index] ?? item))
    );
  }
  if (b.kind !== "map" || a.entries.size !== b.entries.size) return false;
  return [...a.entries].every(([key, { value }]) => {
    const other = b.entries.get(key)?.value;
    return other !== undefined && haveEqualValues(value, other);
  });
}
