/** A placement constraint: a node meets it when its attribute has (or has not) the value. */
export interface Constraint {
  readonly kind: "constraint";
  /** `node.id`, `node.hostname`, `node.platform.os`, `node.platform.arch`, `node.labels.KEY` or `engine.labels.KEY`. */
  readonly attribute: string;
  readonly operator: "==" | "!=";
  readonly value: string;
}

export type ParsedConstraint = Constraint | { readonly kind: "invalid"; readonly reason: string };

const ATTRIBUTES = ["node.id", "node.hostname", "node.platform.os", "node.platform.arch"] as const;
const LABEL_PREFIXES = ["node.labels.", "engine.labels."] as const;
const LABEL_KEY = /^[a-zA-Z0-9_][a-zA-Z0-9_./-]*$/;
const SYNTAX = /^([^\s=!]+)\s*(==|!=)(.*)$/s;
const MAX_LENGTH = 512;
const VALUE = /^[\w:\-. */()?+[\]\\^$|@,]+$/;

/** Parses Swarm's syntax: `node.labels.zone == a`, spaces optional. */
export function parseConstraint(text: string): ParsedConstraint {
  if (text.length > MAX_LENGTH) return invalid(`a constraint has at most ${MAX_LENGTH} characters`);
  const [, attribute, operator, valueText] = SYNTAX.exec(text.trim()) ?? [];
  const value = valueText?.trim();
  if (attribute === undefined || value === undefined || (operator !== "==" && operator !== "!=")) {
    return invalid(`${JSON.stringify(text)} is not a constraint: write it like "node.labels.zone == a"`);
  }
  const reason = attributeProblem(attribute) ?? valueProblem(value);
  return reason === undefined ? { kind: "constraint", attribute, operator, value } : invalid(reason);
}

function attributeProblem(attribute: string): string | undefined {
  if (ATTRIBUTES.some((known) => known === attribute)) return undefined;
  const prefix = LABEL_PREFIXES.find((candidate) => attribute.startsWith(candidate));
  if (prefix !== undefined) {
    const key = attribute.slice(prefix.length);
    return LABEL_KEY.test(key) ? undefined : `${JSON.stringify(key)} is not a label key`;
  }
  return `nodes have no attribute ${JSON.stringify(attribute)}: there are ${ATTRIBUTES.join(", ")}, node.labels.KEY and engine.labels.KEY`;
}

function valueProblem(value: string): string | undefined {
  if (value === "") return "the constraint has no value";
  return VALUE.test(value)
    ? undefined
    : `${JSON.stringify(value)} has characters that a constraint cannot hold`;
}

function invalid(reason: string): ParsedConstraint {
  return { kind: "invalid", reason };
}
