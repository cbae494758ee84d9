import { expect, test } from "vitest";
import { Policy } from "../../gen/berth/v1/policy.js";
import { DEFAULT_POLICY, DEFAULT_RULE } from "./policy-rule.js";
import { validatePolicy } from "./validate-policy.js";

test("the default policy is valid", () => {
  expect(validatePolicy(DEFAULT_POLICY)).toEqual([]);
  const lists = Object.entries(DEFAULT_RULE).filter(([, value]) => typeof value === "object");
  const rule = Object.fromEntries(lists.map(([key, list]) => [key, listOf(list)]));
  expect(validatePolicy(Policy.fromPartial({ rules: [{ name: "all", stacks: ["*"], ...rule }] }))).toEqual(
    [],
  );
});

function listOf(list: unknown): unknown {
  const { allow, deny } = list as { allow: string[]; deny: string[] };
  return { allow: { values: allow }, deny: { values: deny } };
}

test("validatePolicy reports all problems at once", () => {
  const policy = Policy.fromPartial({
    rules: [
      { name: "a b", stacks: [] },
      { name: "apps", stacks: ["Shop"], binds: { allow: { values: ["srv", "/a/../b", "/ok:ro"] } } },
      { name: "apps", stacks: ["*"], binds: { deny: { values: ["/x:ro", ""] } } },
      { name: "default", stacks: ["*"], namespaces: { allow: { values: ["host", "pid"] } } },
      { name: "ports", stacks: ["*"], ports: { allow: { values: ["80", "9-8", "70000", "web"] } } },
    ],
  });
  expect(validatePolicy(policy).map(({ path, message }) => `${path}: ${message}`)).toEqual([
    'rules[0].name: invalid rule name "a b"; use letters, digits, -, _ and .',
    'rules[0].stacks: the rule has no stacks; use ["*"] for all stacks',
    'rules[1].stacks[0]: "Shop" matches no stack name',
    'rules[1].binds.allow[0]: "srv" is not an absolute path without ..',
    'rules[1].binds.allow[1]: "/a/../b" is not an absolute path without ..',
    "rules[2].name: the name apps is used twice",
    'rules[2].binds.deny[0]: "/x:ro": only entries of binds.allow can end in :ro',
    "rules[2].binds.deny[1]: the entry is empty",
    "rules[3].name: the name default belongs to the rule for all other stacks",
    'rules[3].namespaces.allow[0]: "host" is invalid; use network, pid, ipc, uts, user, cgroup or *',
    'rules[4].ports.allow[1]: "9-8" is not a port or a range such as 1024-65535',
    'rules[4].ports.allow[2]: "70000" is not a port or a range such as 1024-65535',
    'rules[4].ports.allow[3]: "web" is not a port or a range such as 1024-65535',
  ]);
});

test("validatePolicy bounds the size of a policy", () => {
  const rule = (index: number) => ({ name: `r${index}`, stacks: ["*"] });
  const many = Policy.fromPartial({ rules: Array.from({ length: 101 }, (_, index) => rule(index)) });
  expect(validatePolicy(many)).toMatchObject([{ path: "rules" }]);
  const large = Policy.fromPartial({ rules: [{ name: "r", stacks: ["*".repeat(70_000)] }] });
  expect(validatePolicy(large)).toMatchObject([{ path: "" }]);
  const long = Policy.fromPartial({
    rules: [{ name: "r", stacks: ["*"], runtimes: { allow: { values: ["x".repeat(256)] } } }],
  });
  expect(validatePolicy(long)).toMatchObject([{ path: "rules[0].runtimes.allow[0]" }]);
});
