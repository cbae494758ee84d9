import { type AccessList, Policy } from "../../gen/berth/v1/policy.js";
import type { Report, Violation } from "../spec/violation.js";
import { hostPathSegments } from "./host-path.js";
import { DEFAULT_RULE_NAME, POLICY_LIST_KEYS, type PolicyListKey } from "./policy-rule.js";

/** Maximum size of a policy, which every agent gets with its assignments. */
const MAX_POLICY_BYTES = 64 * 1024;

/** Maximum number of rules. */
const MAX_RULES = 100;
/** Maximum number of patterns. Each service is compared with all of them. */
const MAX_PATTERNS = 1_000;
const MAX_PATTERN_LENGTH = 255;
const RULE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
const STACK_PATTERN = /^[a-z0-9_*?-]{0,63}$/;

export const HOST_NAMESPACES = ["network", "pid", "ipc", "uts", "user", "cgroup"];
export const PROPAGATION_MODES = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];

const PATH_LISTS: readonly PolicyListKey[] = ["binds", "devices", "cgroupParents"];

/** Returns all problems of a policy, with paths such as `rules[0].binds.allow[1]`. Empty if it is valid. */
export function validatePolicy(policy: Policy): readonly Violation[] {
  const violations: Violation[] = [];
  const report: Report = (path, message) => violations.push({ path, message });
  const bytes = Buffer.byteLength(JSON.stringify(Policy.toJSON(policy)));
  if (bytes > MAX_POLICY_BYTES) {
    report("", `the policy is too large (${bytes} bytes, maximum ${MAX_POLICY_BYTES})`);
    return violations;
  }
  const { rules } = policy;
  if (rules.length > MAX_RULES) report("rules", `too many rules (${rules.length}, maximum ${MAX_RULES})`);
  const names = new Set<string>();
  rules.slice(0, MAX_RULES).forEach((rule, index) => {
    const path = `rules[${index}]`;
    if (!RULE_NAME.test(rule.name)) {
      report(
        `${path}.name`,
        `invalid rule name ${JSON.stringify(rule.name)}; use letters, digits, -, _ and .`,
      );
    } else if (rule.name === DEFAULT_RULE_NAME) {
      report(`${path}.name`, `the name ${DEFAULT_RULE_NAME} belongs to the rule for all other stacks`);
    } else if (names.has(rule.name)) {
      report(`${path}.name`, `the name ${rule.name} is used twice`);
    }
    names.add(rule.name);
    if (rule.stacks.length === 0) {
      report(`${path}.stacks`, 'the rule has no stacks; use ["*"] for all stacks');
    }
    rule.stacks.forEach((pattern, at) => {
      if (STACK_PATTERN.test(pattern)) return;
      report(`${path}.stacks[${at}]`, `${JSON.stringify(pattern)} matches no stack name`);
    });
    for (const key of POLICY_LIST_KEYS) {
      const list = rule[key];
      if (list !== undefined) validateList(key, list, { path: `${path}.${policyKey(key)}`, report });
    }
  });
  return violations;
}

/** Returns the name that a key has in policy files: `docker_socket` for `dockerSocket`. */
export function policyKey(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function validateList(
  key: PolicyListKey,
  { allow, deny }: AccessList,
  { path, report }: { readonly path: string; readonly report: Report },
): void {
  for (const [verb, list] of [
    ["allow", allow],
    ["deny", deny],
  ] as const) {
    const values = list?.values ?? [];
    if (values.length > MAX_PATTERNS) {
      report(`${path}.${verb}`, `too many entries (${values.length}, maximum ${MAX_PATTERNS})`);
      continue;
    }
    values.forEach((value, index) => {
      const problem = patternProblem(key, value, verb);
      if (problem !== undefined) report(`${path}.${verb}[${index}]`, problem);
    });
  }
}

function patternProblem(key: PolicyListKey, value: string, verb: "allow" | "deny"): string | undefined {
  const text = JSON.stringify(value);
  if (value === "") return "the entry is empty";
  if (value.length > MAX_PATTERN_LENGTH) {
    return `the entry is too long (maximum ${MAX_PATTERN_LENGTH} characters)`;
  }
  if (key === "namespaces") return choiceProblem(value, HOST_NAMESPACES);
  if (key === "propagation") return choiceProblem(value, PROPAGATION_MODES);
  if (key === "ports") {
    return parsePortRange(value) === undefined
      ? `${text} is not a port or a range such as 1024-65535`
      : undefined;
  }
  if (!PATH_LISTS.includes(key)) return undefined;
  const path = key === "binds" && verb === "allow" ? value.replace(/:ro$/, "") : value;
  if (/:r[ow]$/.test(path)) return `${text}: only entries of binds.allow can end in :ro`;
  return hostPathSegments(path) === undefined ? `${text} is not an absolute path without ..` : undefined;
}

function choiceProblem(value: string, choices: readonly string[]): string | undefined {
  if (value === "*" || choices.includes(value)) return undefined;
  return `${JSON.stringify(value)} is invalid; use ${choices.join(", ")} or *`;
}

/** Parses `8080` or `1024-65535`. Returns undefined for any other text. */
export function parsePortRange(text: string): readonly [first: number, last: number] | undefined {
  const [, from = "", to = from] = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  return from !== "" && first <= last && last <= 65_535 ? [first, last] : undefined;
}
