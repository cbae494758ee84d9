import {
  assertNever,
  isGlob,
  matchesGlob,
  type Node,
  parseAddressRange,
  parseConstraint,
} from "@berth/proto";
import { architectureName, getAttribute } from "./node-attribute.js";

/** A parsed placement constraint, as the scheduler's filters evaluate it. */
export interface NodeConstraint {
  readonly text: string;
  readonly isMetBy: (node: Node) => boolean;
  /** Error of a malformed constraint, which no node meets. Undefined if the constraint is well-formed. */
  readonly parseError?: string;
}

type ValueTest = (value: string) => boolean;

/**
 * Parses a placement constraint.
 *
 * No node meets a malformed constraint; `parseError` explains why it is malformed. As in Swarm, case is ignored, and a
 * missing label is not equal to any value.
 */
export function parseNodeConstraint(text: string): NodeConstraint {
  const parsed = parseConstraint(text);
  if (parsed.kind === "invalid") return { text, isMetBy: () => false, parseError: parsed.reason };
  const { attribute, operator } = parsed;
  const tests = parsed.values.map((value) => valueTest(attribute, value));
  const isOneOf = (node: Node): boolean => {
    const value = getAttribute(node, attribute);
    return value !== undefined && tests.some((matches) => matches(value));
  };
  const exists = (node: Node): boolean => getAttribute(node, attribute) !== undefined;
  switch (operator) {
    case "==":
    case "in":
      return { text, isMetBy: isOneOf };
    case "!=":
    case "not in":
      return { text, isMetBy: (node) => !isOneOf(node) };
    case "exists":
      return { text, isMetBy: exists };
    case "not exists":
      return { text, isMetBy: (node) => !exists(node) };
    default:
      return assertNever(operator);
  }
}

function valueTest(attribute: string, value: string): ValueTest {
  if (attribute === "node.ip") return parseAddressRange(value) ?? (() => false);
  const expected = normalize(attribute, value);
  if (isGlob(expected)) return (actual) => matchesGlob(expected, normalize(attribute, actual));
  return (actual) => normalize(attribute, actual) === expected;
}

/** Returns an attribute's value in the form in which values are compared. */
function normalize(attribute: string, value: string): string {
  const lower = value.toLowerCase();
  return attribute === "node.platform.arch" ? architectureName(lower) : lower;
}
