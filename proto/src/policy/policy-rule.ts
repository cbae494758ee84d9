import type { AccessList, Policy, PolicyRule } from "../../gen/berth/v1/policy.js";
import { matchesGlob } from "../glob.js";

// A policy limits what the containers of a stack may use of their hosts, such as bind mounts and capabilities. Its rules
// apply to stacks by patterns of their names.

/** Boolean keys of a rule. */
export const POLICY_FLAG_KEYS = ["privileged", "dockerSocket", "berthAccess", "deviceCgroupRules"] as const;

/** Keys of a rule that have the lists `allow` and `deny`. */
export const POLICY_LIST_KEYS = [
  "namespaces",
  "binds",
  "propagation",
  "devices",
  "capabilities",
  "securityOptions",
  "sysctls",
  "runtimes",
  "cgroupParents",
  "volumeDrivers",
  "volumeOptions",
  "logDrivers",
  "ports",
] as const;

export type PolicyFlagKey = (typeof POLICY_FLAG_KEYS)[number];
export type PolicyListKey = (typeof POLICY_LIST_KEYS)[number];

/** A list with its defaults filled in. */
export interface ResolvedList {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** A rule with all defaults filled in. */
export type ResolvedRule = { readonly name: string } & {
  readonly [Key in PolicyFlagKey]: boolean;
} & { readonly [Key in PolicyListKey]: ResolvedList };

const ALLOW_ANY: ResolvedList = { allow: ["*"], deny: [] };
const ANY_PATH: ResolvedList = { allow: ["/"], deny: [] };

export const DEFAULT_RULE_NAME = "default";

/**
 * Rule for stacks that no other rule matches, and source of the defaults for keys that other rules lack. Everything
 * that Compose files use is allowed, except for access to berth itself.
 */
export const DEFAULT_RULE: ResolvedRule = {
  name: DEFAULT_RULE_NAME,
  privileged: true,
  dockerSocket: true,
  berthAccess: false,
  deviceCgroupRules: true,
  namespaces: ALLOW_ANY,
  binds: ANY_PATH,
  propagation: ALLOW_ANY,
  devices: ANY_PATH,
  capabilities: ALLOW_ANY,
  securityOptions: ALLOW_ANY,
  sysctls: ALLOW_ANY,
  runtimes: ALLOW_ANY,
  cgroupParents: ANY_PATH,
  volumeDrivers: ALLOW_ANY,
  volumeOptions: ALLOW_ANY,
  logDrivers: ALLOW_ANY,
  ports: { allow: ["1-65535"], deny: [] },
};

/** Policy of a cluster that has none set. */
export const DEFAULT_POLICY: Policy = { rules: [] };

/** Returns the rule that applies to a stack: the first one with a matching pattern. */
export function findPolicyRule({ rules }: Policy, stack: string): ResolvedRule {
  const rule = rules.find(({ stacks }) => stacks.some((pattern) => matchesGlob(pattern, stack)));
  return rule === undefined ? DEFAULT_RULE : resolveRule(rule);
}

function resolveRule(rule: PolicyRule): ResolvedRule {
  const resolved: { -readonly [Key in keyof ResolvedRule]: ResolvedRule[Key] } = {
    ...DEFAULT_RULE,
    name: rule.name,
  };
  for (const key of POLICY_FLAG_KEYS) resolved[key] = rule[key] ?? DEFAULT_RULE[key];
  for (const key of POLICY_LIST_KEYS) resolved[key] = resolveList(rule[key], DEFAULT_RULE[key]);
  return resolved;
}

function resolveList(list: AccessList | undefined, { allow, deny }: ResolvedList): ResolvedList {
  return { allow: list?.allow?.values ?? allow, deny: list?.deny?.values ?? deny };
}
