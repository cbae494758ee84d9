import { type Node, parseAddressRange, parseConstraint } from "@berth/proto";
import { isGlob, matchesGlob } from "./glob.js";
import { architectureName, attributeOf } from "./node-attribute.js";

/** A placement constraint, ready to be asked of many nodes. */
export interface NodeConstraint {
  readonly text: string;
  readonly meets: (node: Node) => boolean;
  /** Why no node at all can meet it. */
  readonly impossible?: string;
}

type ValueTest = (value: string) => boolean;

/**
 * Parses once. A constraint that cannot be parsed is met by no node and says so. As in Swarm letter case does not
 * matter, and a label that the node lacks differs from every value.
 */
export function parseNodeConstraint(text: string): NodeConstraint {
  const parsed = parseConstraint(text);
  if (parsed.kind === "invalid") return { text, meets: () => false, impossible: parsed.reason };
  const { attribute, operator } = parsed;
  const tests = parsed.values.map((value) => valueTest(attribute, value));
  const isOneOf = (node: Node): boolean => {
    const value = attributeOf(node, attribute);
    return value !== undefined && tests.some((matches) => matches(value));
  };
  switch (operator) {
    case "==":
    case "in":
      return { text, meets: isOneOf };
    case "!=":
    case "not in":
      return { text, meets: (node) => !isOneOf(node) };
    case "exists":
      return { text, meets: (node) => attributeOf(node, attribute) !== undefined };
    default:
      return { text, meets: (node) => attributeOf(node, attribute) === undefined };
  }
}

function valueTest(attribute: string, value: string): ValueTest {
  if (attribute === "node.ip") return parseAddressRange(value) ?? (() => false);
  const wanted = comparable(attribute, value);
  if (isGlob(wanted)) return (candidate) => matchesGlob(wanted, comparable(attribute, candidate));
  return (candidate) => comparable(attribute, candidate) === wanted;
}

function comparable(attribute: string, value: string): string {
  const lower = value.toLowerCase();
  return attribute === "node.platform.arch" ? architectureName(lower) : lower;
}
