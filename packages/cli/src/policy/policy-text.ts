import {
  type AccessList,
  DEFAULT_RULE,
  POLICY_FLAG_KEYS,
  POLICY_LIST_KEYS,
  type Policy,
  type PolicyRule,
  policyKey,
} from "@berth/proto";

type JsonValue = boolean | string | readonly string[] | Readonly<Record<string, readonly string[]>>;
type RuleJson = Readonly<Record<string, JsonValue>>;

/** Returns a policy as JSON with the keys of policy files, including the default rule. */
export function policyJson({ rules }: Policy): object {
  return { rules: rules.map(ruleJson), default: defaultRuleJson() };
}

/** Returns a policy as YAML that `berth policy set` accepts, with the default rule as a comment. */
export function policyText({ rules }: Policy): string {
  const own =
    rules.length === 0 ? "rules: []\n" : `rules:\n${rules.map((rule) => ruleText(ruleJson(rule))).join("")}`;
  const completing = ruleText(defaultRuleJson()).replace(/^ {2}/gm, "#   ");
  return `${own}\n# Default rule: applies to stacks that match no rule above, and fills in the fields that those rules omit:\n${completing}`;
}

function ruleText(rule: RuleJson): string {
  const lines = Object.entries(rule).map(([key, value]) => `${key}: ${valueText(value)}\n`);
  return lines.map((line, index) => (index === 0 ? `  - ${line}` : `    ${line}`)).join("");
}

/** Returns a value in YAML's flow style. */
function valueText(value: JsonValue): string {
  if (typeof value === "string") return /^[A-Za-z][\w.-]*$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
  return `{${Object.entries(value)
    .map(([key, list]) => `${key}: ${valueText(list)}`)
    .join(", ")}}`;
}

function ruleJson(rule: PolicyRule): RuleJson {
  const flags = POLICY_FLAG_KEYS.flatMap((key) => entryOf(policyKey(key), rule[key]));
  const lists = POLICY_LIST_KEYS.flatMap((key) => entryOf(policyKey(key), rule[key] && listJson(rule[key])));
  return { name: rule.name, stacks: rule.stacks, ...Object.fromEntries([...flags, ...lists]) };
}

function defaultRuleJson(): RuleJson {
  const flags = POLICY_FLAG_KEYS.map((key) => [policyKey(key), DEFAULT_RULE[key]]);
  const lists = POLICY_LIST_KEYS.map((key) => [policyKey(key), { ...DEFAULT_RULE[key] }]);
  return { name: DEFAULT_RULE.name, stacks: ["*"], ...Object.fromEntries([...flags, ...lists]) };
}

function entryOf(key: string, value: JsonValue | undefined): readonly (readonly [string, JsonValue])[] {
  return value === undefined ? [] : [[key, value]];
}

function listJson({ allow, deny }: AccessList): Readonly<Record<string, readonly string[]>> {
  return { ...(allow && { allow: allow.values }), ...(deny && { deny: deny.values }) };
}

/** The differences between two policies, by the names of their rules. */
export interface PolicyChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Keys that differ, by rule. */
  readonly changed: Readonly<Record<string, readonly string[]>>;
  /** Whether the rules that both policies contain are in a different order. */
  readonly reordered: boolean;
}

export function comparePolicies(before: Policy, after: Policy): PolicyChanges {
  const previousRules = new Map(before.rules.map((rule) => [rule.name, ruleJson(rule)]));
  const current = new Map(after.rules.map((rule) => [rule.name, ruleJson(rule)]));
  const unchangedNames = [...current.keys()].filter((name) => previousRules.has(name));
  const changed = unchangedNames.flatMap((name) => {
    const keys = differingKeys(previousRules.get(name) ?? {}, current.get(name) ?? {});
    return keys.length === 0 ? [] : [[name, keys] as const];
  });
  return {
    added: [...current.keys()].filter((name) => !previousRules.has(name)),
    removed: [...previousRules.keys()].filter((name) => !current.has(name)),
    changed: Object.fromEntries(changed),
    reordered: [...previousRules.keys()].filter((name) => current.has(name)).join() !== unchangedNames.join(),
  };
}

function differingKeys(left: RuleJson, right: RuleJson): readonly string[] {
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return keys.filter((key) => JSON.stringify(left[key]) !== JSON.stringify(right[key]));
}
