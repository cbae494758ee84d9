import { parseAddressRange } from "./address-range.js";

/** A placement constraint: what a node's attribute must be, or must not be. */
export interface Constraint {
  readonly kind: "constraint";
  /** See `ATTRIBUTES`; `node.labels.KEY` and `engine.labels.KEY` besides. */
  readonly attribute: string;
  readonly operator: ConstraintOperator;
  /**
   * One for `==` and `!=`, none for the last two. `*` in a value stands for any letters and `?` for one, except for
   * `node.ip`, whose values are addresses or networks.
   */
  readonly values: readonly string[];
}

export type ConstraintOperator = "==" | "!=" | "in" | "not in" | "exists" | "not exists";

export type ParsedConstraint = Constraint | { readonly kind: "invalid"; readonly reason: string };

const ATTRIBUTES = ["node.id", "node.hostname", "node.ip", "node.platform.os", "node.platform.arch"] as const;
const LABEL_PREFIXES = ["node.labels.", "engine.labels."] as const;
const LABEL_KEY = /^[a-zA-Z0-9_][a-zA-Z0-9_./-]*$/;
const COMPARISON = /^([^\s=!]+)\s*(==|!=)(.*)$/s;
const MEMBERSHIP = /^([^\s=!]+)\s+(not\s+)?in\s*\(([^()]*)\)$/is;
const EXISTENCE = /^(!?)\s*([^\s=!]+)$/s;
const MAX_LENGTH = 512;
const VALUE = /^[\w:\-. */()?+[\]\\^$|@,]+$/;

/**
 * Parses Swarm's syntax (`node.labels.zone == a`, spaces optional) and three forms more: `node.labels.zone in (a, b)`,
 * `node.labels.zone not in (a, b)`, and `node.labels.ssd` or `!node.labels.ssd` for whether there is such a label.
 */
export function parseConstraint(text: string): ParsedConstraint {
  if (text.length > MAX_LENGTH) return invalid(`a constraint has at most ${MAX_LENGTH} characters`);
  const raw = split(text.trim());
  if (raw === undefined) {
    return invalid(`${JSON.stringify(text)} is not a constraint: write it like "node.labels.zone == a"`);
  }
  const attribute = canonicalAttribute(raw.attribute);
  const values = raw.values.map((value) => value.trim());
  const reason = attributeProblem(attribute) ?? valuesProblem(attribute, values);
  return reason === undefined
    ? { kind: "constraint", attribute, operator: raw.operator, values }
    : invalid(reason);
}

/** As in Swarm, letter case matters in the keys of labels alone. */
export function canonicalAttribute(text: string): string {
  const lower = text.toLowerCase();
  const prefix = LABEL_PREFIXES.find((candidate) => lower.startsWith(candidate));
  return prefix === undefined ? lower : prefix + text.slice(prefix.length);
}

type Raw = Omit<Constraint, "kind">;

function split(text: string): Raw | undefined {
  const [, compared, sign, value] = COMPARISON.exec(text) ?? [];
  if (compared !== undefined && value !== undefined) {
    return { attribute: compared, operator: sign === "!=" ? "!=" : "==", values: [value] };
  }
  const [, member, not, list] = MEMBERSHIP.exec(text) ?? [];
  if (member !== undefined && list !== undefined) {
    return { attribute: member, operator: not === undefined ? "in" : "not in", values: list.split(",") };
  }
  const [, bang, label] = EXISTENCE.exec(text) ?? [];
  if (label === undefined || !isLabel(canonicalAttribute(label))) return undefined;
  return { attribute: label, operator: bang === "!" ? "not exists" : "exists", values: [] };
}

const isLabel = (attribute: string): boolean => LABEL_PREFIXES.some((prefix) => attribute.startsWith(prefix));

function attributeProblem(attribute: string): string | undefined {
  if (ATTRIBUTES.some((known) => known === attribute)) return undefined;
  const prefix = LABEL_PREFIXES.find((candidate) => attribute.startsWith(candidate));
  if (prefix !== undefined) {
    const key = attribute.slice(prefix.length);
    return LABEL_KEY.test(key) ? undefined : `${JSON.stringify(key)} is not a label key`;
  }
  return `nodes have no attribute ${JSON.stringify(attribute)}: there are ${ATTRIBUTES.join(", ")}, node.labels.KEY and engine.labels.KEY`;
}

function valuesProblem(attribute: string, values: readonly string[]): string | undefined {
  for (const value of values) {
    if (value === "") return "the constraint has no value";
    if (!VALUE.test(value)) {
      return `${JSON.stringify(value)} has characters that a constraint cannot hold`;
    }
    if (attribute === "node.ip" && parseAddressRange(value) === undefined) {
      return `${JSON.stringify(value)} is neither an IP address nor a network such as 192.0.2.0/24`;
    }
  }
  return undefined;
}

function invalid(reason: string): ParsedConstraint {
  return { kind: "invalid", reason };
}
