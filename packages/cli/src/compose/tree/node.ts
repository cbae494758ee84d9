import type { Position } from "../text/source.js";

/** A YAML value with its position. Immutable: aliases share nodes, and merging creates new ones. */
export type Node = ScalarNode | MapNode | ListNode;

export type Scalar = string | number | boolean | null;

interface NodeBase {
  readonly position: Position;
  /** Compose's tags `!reset` and `!override`, which apply when files are merged. */
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

/** Returns a scalar as text, as environment variables, labels and options take numbers and booleans. */
export function scalarText(node: ScalarNode): string {
  return node.value === null ? "" : String(node.value);
}

const MAX_QUOTED = 60;

function clip(text: string): string {
  return text.length <= MAX_QUOTED ? text : `${text.slice(0, MAX_QUOTED)}…`;
}
