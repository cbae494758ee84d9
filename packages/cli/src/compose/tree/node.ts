import type { Position } from "../text/source.js";

/** Maximum number of characters of a value that an error quotes. */
const MAX_QUOTED = 60;

/** A YAML value with its position. Immutable: aliases share nodes, and merging creates new ones. */
export type Node = ScalarNode | MapNode | ListNode;

export type Scalar = string | number | boolean | null;

interface NodeBase {
  readonly position: Position;
  /** Compose's tag `!reset` or `!override`, which `mergeTrees` applies. */
  readonly mergeTag?: "reset" | "override";
}

export interface ScalarNode extends NodeBase {
  readonly kind: "scalar";
  readonly value: Scalar;
  /** The value as written, since the form of some numbers matters ("0440", "1.10"). */
  readonly text: string;
}

export interface MapNode extends NodeBase {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, MapEntry>;
}

export interface MapEntry {
  readonly keyPosition: Position;
  readonly value: Node;
}

export interface ListNode extends NodeBase {
  readonly kind: "list";
  readonly items: readonly Node[];
}

/** Creates a text node that is not written in a YAML file in this form. */
export function scalarNode(value: string | null, position: Position): ScalarNode {
  return { kind: "scalar", value, text: value ?? "", position };
}

/** Describes a node for an error message: `a list`, `the number 3`. */
export function describeNode(node: Node): string {
  if (node.kind === "map") return "a mapping";
  if (node.kind === "list") return "a list";
  if (node.value === null) return "nothing";
  if (typeof node.value === "string") return `the text ${JSON.stringify(clip(node.value))}`;
  return typeof node.value === "number" ? `the number ${node.text}` : `${node.value}`;
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
