import { parseAddressRange } from "./address-range.js";

/** A placement constraint: a condition on an attribute of a node. */
export interface Constraint {
  readonly kind: "constraint";
  /** One of `ATTRIBUTES`, `node.labels.KEY` or `engine.labels.KEY`. */
  readonly attribute: string;
  readonly operator: ConstraintOperator;
  /**
   * One value for `==` and `!=`, one or more for `in` and `not in`, none for `exists` and `not exists`. In a value, `*`
   * matches any characters and `?` matches one. The values of `node.ip` are addresses or networks.
   */
  readonly values: readonly string[];
}

export type ConstraintOperator = "==" | "!=" | "in" | "not in" | "exists" | "not exists";

export type ParsedConstraint = Constraint | { readonly kind: "invalid"; readonly reason: string };

const NODE_ATTRIBUTES = [
  "node.id",
  "node.hostname",
  "node.ip",
  "node.role",
  "node.platform.os",
  "node.platform.arch",
] as const;
/** The roles of Swarm. A server of the cluster runs on the host of a manager. */
const NODE_ROLES = ["manager", "worker"];
const LABEL_PREFIXES = ["node.labels.", "engine.labels."] as const;
const LABEL_KEY = /^[a-zA-Z0-9_][a-zA-Z0-9_./-]*$/;
const COMPARISON_PATTERN = /^([^\s=!]+)\s*(==|!=)(.*)$/s;
const MEMBERSHIP_PATTERN = /^([^\s=!]+)\s+(not\s+)?in\s*\(([^()]*)\)$/is;
const EXISTENCE_PATTERN = /^(!?)\s*([^\s=!]+)$/s;
const MAX_LENGTH = 512;
/** The characters that Swarm allows in a value. */
const VALUE_PATTERN = /^[\w:\-. */()?+[\]\\^$|@,]+$/;

/**
 * Parses a placement constraint in Swarm's syntax (`node.labels.zone == a`), or in one of these extensions:
 * `node.labels.zone in (a, b)`, `node.labels.zone not in (a, b)`, and `node.labels.ssd` or `!node.labels.ssd`, which
 * require that the label exists or does not exist.
 */
export function parseConstraint(text: string): ParsedConstraint {
  if (text.length > MAX_LENGTH) {
    return invalid(`the constraint is too long (${text.length} characters, maximum ${MAX_LENGTH})`);
  }
  const raw = splitConstraint(text.trim());
  if (raw === undefined) {
    return invalid(
      `${JSON.stringify(text)} is not a valid constraint; use a form such as "node.labels.zone == a"`,
    );
  }
  const attribute = canonicalAttribute(raw.attribute);
  const values = raw.values.map((value) => value.trim());
  const reason = attributeProblem(attribute) ?? valuesProblem(attribute, values);
  return reason === undefined
    ? { kind: "constraint", attribute, operator: raw.operator, values }
    : invalid(reason);
}

/** Converts an attribute to lower case, except for the key of a label. As in Swarm, only label keys are case-sensitive. */
export function canonicalAttribute(text: string): string {
  const lower = text.toLowerCase();
  const prefix = LABEL_PREFIXES.find((candidate) => lower.startsWith(candidate));
  return prefix === undefined ? lower : prefix + text.slice(prefix.length);
}

/** The parts of a constraint as the user wrote them, not yet checked. */
type RawConstraint = Omit<Constraint, "kind">;

/** Splits a constraint into its parts. Returns undefined for a text that is not a constraint. */
function splitConstraint(text: string): RawConstraint | undefined {
  const [, attribute, sign, value] = COMPARISON_PATTERN.exec(text) ?? [];
  if (attribute !== undefined && value !== undefined) {
    return { attribute, operator: sign === "!=" ? "!=" : "==", values: [value] };
  }
  const [, listAttribute, not, list] = MEMBERSHIP_PATTERN.exec(text) ?? [];
  if (listAttribute !== undefined && list !== undefined) {
    return {
      attribute: listAttribute,
      operator: not === undefined ? "in" : "not in",
      values: list.split(","),
    };
  }
  const [, negation, label] = EXISTENCE_PATTERN.exec(text) ?? [];
  if (label === undefined || !isLabel(canonicalAttribute(label))) return undefined;
  return { attribute: label, operator: negation === "!" ? "not exists" : "exists", values: [] };
}

function isLabel(attribute: string): boolean {
  return LABEL_PREFIXES.some((prefix) => attribute.startsWith(prefix));
}

function attributeProblem(attribute: string): string | undefined {
  if (NODE_ATTRIBUTES.some((known) => known === attribute)) return undefined;
  const prefix = LABEL_PREFIXES.find((candidate) => attribute.startsWith(candidate));
  if (prefix !== undefined) {
    const key = attribute.slice(prefix.length);
    return LABEL_KEY.test(key) ? undefined : `${JSON.stringify(key)} is not a label key`;
  }
  return `unknown node attribute ${JSON.stringify(attribute)}; use ${NODE_ATTRIBUTES.join(", ")}, node.labels.KEY or engine.labels.KEY`;
}

function valuesProblem(attribute: string, values: readonly string[]): string | undefined {
  for (const value of values) {
    if (value === "") return "the constraint has no value";
    if (!VALUE_PATTERN.test(value)) {
      return `${JSON.stringify(value)} contains invalid characters`;
    }
    if (attribute === "node.role" && !NODE_ROLES.includes(value.toLowerCase())) {
      return `${JSON.stringify(value)} is not a role; use ${NODE_ROLES.join(" or ")}`;
    }
    if (attribute === "node.ip" && parseAddressRange(value) === undefined) {
      return `${JSON.stringify(value)} is not an IP address or a network such as 192.0.2.0/24`;
    }
  }
  return undefined;
}

function invalid(reason: string): ParsedConstraint {
  return { kind: "invalid", reason };
}
