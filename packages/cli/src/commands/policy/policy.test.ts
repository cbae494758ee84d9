import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError, Policy, type SetPolicyRequest } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readPolicy } from "../../policy/read-policy.js";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const POLICY = `rules:
  - name: monitoring
    stacks: [monitoring]
    berth_access: true
    binds: {allow: ["/:ro"]}
  - name: apps
    stacks: ["*"]
    privileged: false
    docker_socket: no
    binds:
      allow: [/srv]
    capabilities: {allow: [NET_ADMIN], deny: []}
`;

const COMPOSE = `services:
  web:
    image: nginx
    privileged: true
    cap_add:
      - NET_ADMIN
      - SYS_ADMIN
    network_mode: host
    volumes:
      - /srv/web:/data
      - /etc:/host/etc:ro
      - logs:/logs
  db:
    image: postgres
    volumes:
      - type: bind
        source: /var/run/docker.sock
        target: /var/run/docker.sock
volumes:
  logs:
    driver_opts: {type: none, o: bind, device: /home}
`;

const policy = readPolicy("policy.yaml", Buffer.from(POLICY)).policy;

const DENIALS = [
  'c.yaml:4:17: services.web.privileged: privileged mode is denied by policy rule "apps"',
  'c.yaml:7:9: services.web.cap_add[1]: capability SYS_ADMIN is denied by policy rule "apps": allowed: NET_ADMIN',
  'c.yaml:11:9: services.web.volumes[1]: bind mount of /etc is denied by policy rule "apps": allowed: /srv',
  'c.yaml:12:9: services.web.volumes[2]: volume that shows /home is denied by policy rule "apps": allowed: /srv',
  'c.yaml:16:9: services.db.volumes[0]: bind mount of /var/run/docker.sock is denied by policy rule "apps": allowed: /srv',
];

let cwd = "";
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "berth-cli-"));
  await writeFile(join(cwd, "c.yaml"), COMPOSE);
  await writeFile(join(cwd, "policy.yaml"), POLICY);
});
afterEach(() => rm(cwd, { recursive: true }));

describe("policy files", () => {
  test("reads policy files with the keys of the documentation", () => {
    expect(Policy.toJSON(policy)).toEqual({
      rules: [
        {
          name: "monitoring",
          stacks: ["monitoring"],
          berthAccess: true,
          binds: { allow: { values: ["/:ro"] } },
        },
        {
          name: "apps",
          stacks: ["*"],
          privileged: false,
          dockerSocket: false,
          binds: { allow: { values: ["/srv"] } },
          capabilities: { allow: { values: ["NET_ADMIN"] }, deny: {} },
        },
      ],
    });
  });

  test.each([
    ["", "p:1:1: the file is empty; use rules: [] for no rules"],
    ["{}", "p:1:1: the file has no rules"],
    ["rules: []\n---\nrules: []", "p:3:1: the file has more than one document"],
    [
      "rules:\n  - name: a\n    stacks: ['*']\n    privileged:",
      "p:4:5: rules[0].privileged: the value is missing",
    ],
    [
      "rules:\n  - name: a\n    stacks: ['*']\n    privilege: false",
      'p:4:5: rules[0].privilege: unknown key "privilege"; did you mean "privileged"?',
    ],
    [
      "rules:\n  - name: a\n    stacks: ['*']\n    binds: [/srv]",
      "p:4:12: rules[0].binds: must be a mapping, not a list",
    ],
    [
      "rules:\n  - name: a\n    stacks: ['*']\n    binds: {allow: /srv}",
      'p:4:20: rules[0].binds.allow: must be a list such as ["/srv"], not the text "/srv"',
    ],
    [
      "rules:\n  - name: a\n    stacks: ['*']\n    binds: {allow: [srv]}",
      'p:4:21: rules[0].binds.allow[0]: "srv" is not an absolute path without ..',
    ],
  ])("rejects %j with its position", async (text, problem) => {
    await writeFile(join(cwd, "p"), text);
    const { code, err } = await berth("policy set p", {}, { cwd });
    expect(err.split("\n")[0]).toBe(problem);
    expect(err).toContain("error: 1 error in p\n(BERTH_INPUT_INVALID)");
    expect(code).toBe(2);
  });

  test("reports all problems of a policy file at once", async () => {
    const text = "rules:\n  - name: a b\n    stacks: []\n    ports: {deny: [web]}\n";
    const { err } = await berth("policy set -", {}, { cwd, stdin: text });
    expect(err).toBe(`<stdin>:2:11: rules[0].name: invalid rule name "a b"; use letters, digits, -, _ and .
<stdin>:3:13: rules[0].stacks: the rule has no stacks; use ["*"] for all stacks
<stdin>:4:20: rules[0].ports.deny[0]: "web" is not a port or a range such as 1024-65535
error: 3 errors in <stdin>
(BERTH_INPUT_INVALID)
`);
  });
});

describe("policy set", () => {
  const requests: SetPolicyRequest[] = [];
  const violation = {
    service: "shop_web",
    path: "task.container.privileged",
    rule: "apps",
    message: 'privileged mode is denied by policy rule "apps"',
  };
  const handlers: FakeControlHandlers = {
    setPolicy: async (request) => {
      requests.push(request);
      const previous = Policy.fromPartial({
        rules: [
          { name: "apps", stacks: ["*"], privileged: true },
          { name: "old", stacks: ["old"] },
        ],
      });
      return { previous, violations: [violation] };
    },
  };

  test("shows the changes, and the services that violate the policy", async () => {
    const { code, out, err } = await berth("policy set policy.yaml", handlers, { cwd });
    expect(requests.at(-1)).toEqual({ policy, dryRun: false });
    expect(out).toBe(`+ rule monitoring
- rule old
~ rule apps: privileged, docker_socket, binds, capabilities
Policy set
`);
    expect(
      err,
    ).toBe(`warning: the policy denies settings of 1 service: running tasks continue, new ones are rejected
warning: shop_web: privileged mode is denied by policy rule "apps"
`);
    expect(code).toBe(0);
  });

  test("changes nothing in a dry run, and fails when a service violates the policy", async () => {
    const { code, out, err } = await berth("policy set --dry-run policy.yaml", handlers, { cwd });
    expect(requests.at(-1)?.dryRun).toBe(true);
    expect(out).toContain("Policy was not set (dry run)\n");
    expect(err).toContain("warning: the policy would deny settings of 1 service");
    expect(code).toBe(1);
  });

  test("prints the changes as JSON", async () => {
    const { out } = await berth("policy set policy.yaml -o json", handlers, { cwd });
    expect(JSON.parse(out)).toEqual({
      dryRun: false,
      changes: {
        added: ["monitoring"],
        removed: ["old"],
        changed: { apps: ["privileged", "docker_socket", "binds", "capabilities"] },
        reordered: false,
      },
      violations: [violation],
    });
  });
});

describe("policy show", () => {
  test("prints the policy as a file that policy set accepts, and the rule that completes it", async () => {
    const { code, out } = await berth("policy show", { getPolicy: async () => ({ policy }) });
    expect(code).toBe(0);
    expect(out).toBe(`rules:
  - name: monitoring
    stacks: ["monitoring"]
    berth_access: true
    binds: {allow: ["/:ro"]}
  - name: apps
    stacks: ["*"]
    privileged: false
    docker_socket: false
    binds: {allow: ["/srv"]}
    capabilities: {allow: ["NET_ADMIN"], deny: []}

# Default rule: applies to stacks that match no rule above, and fills in the fields that those rules omit:
#   - name: default
#     stacks: ["*"]
#     privileged: true
#     docker_socket: true
#     berth_access: false
#     device_cgroup_rules: true
#     namespaces: {allow: ["*"], deny: []}
#     binds: {allow: ["/"], deny: []}
#     propagation: {allow: ["*"], deny: []}
#     devices: {allow: ["/"], deny: []}
#     capabilities: {allow: ["*"], deny: []}
#     security_options: {allow: ["*"], deny: []}
#     sysctls: {allow: ["*"], deny: []}
#     runtimes: {allow: ["*"], deny: []}
#     cgroup_parents: {allow: ["/"], deny: []}
#     volume_drivers: {allow: ["*"], deny: []}
#     volume_options: {allow: ["*"], deny: []}
#     log_drivers: {allow: ["*"], deny: []}
#     ports: {allow: ["1-65535"], deny: []}
`);
    expect(readPolicy("shown", Buffer.from(out))).toEqual({ policy, diagnostics: [] });
  });

  test("prints an empty policy when none was set", async () => {
    const { out } = await berth("policy show", { getPolicy: async () => ({}) });
    expect(out.split("\n")[0]).toBe("rules: []");
    const json = await berth("policy show -o json", { getPolicy: async () => ({}) });
    expect(JSON.parse(json.out)).toMatchObject({ rules: [], default: { privileged: true } });
  });
});

describe("a deployment that the policy denies", () => {
  const denied: FakeControlHandlers = {
    deployStack: async () => {
      throw new BerthError({ code: "BERTH_POLICY_DENIED", message: "stack shop was not deployed: …" });
    },
    getPolicy: async () => ({ policy }),
  };

  test.each(["", "--dry-run "])("shows all places in the Compose file (%s)", async (flag) => {
    const { code, err } = await berth(`stack deploy ${flag}-c c.yaml shop`, denied, { cwd });
    expect(err.split("\n")).toEqual([
      ...DENIALS,
      "error: the policy denies 5 settings in c.yaml; nothing was deployed",
      "(BERTH_POLICY_DENIED)",
      "",
    ]);
    expect(code).toBe(1);
  });

  test("shows the error of the server when the policy of the server cannot be read", async () => {
    const { code, err } = await berth(
      "stack deploy -c c.yaml shop",
      { deployStack: denied.deployStack as never },
      { cwd },
    );
    expect(err).toBe("error: stack shop was not deployed: …\n(BERTH_POLICY_DENIED)\n");
    expect(code).toBe(1);
  });
});

describe("policy check", () => {
  test("checks Compose files without a server", async () => {
    const { code, err } = await berth("policy check --policy policy.yaml -c c.yaml shop", {}, { cwd });
    expect(err.split("\n")).toEqual([
      ...DENIALS,
      "error: the policy denies 5 settings in c.yaml",
      "(BERTH_POLICY_DENIED)",
      "",
    ]);
    expect(code).toBe(1);
  });

  test("accepts Compose files that the policy permits", async () => {
    await writeFile(join(cwd, "c.yaml"), "services: {web: {image: nginx, volumes: ['/srv/web:/data']}}");
    const { code, out } = await berth("policy check --policy policy.yaml -c c.yaml shop", {}, { cwd });
    expect([code, out]).toEqual([0, "The policy permits stack shop\n"]);
  });

  test("does not need the contents of secrets", async () => {
    const text = "services: {web: {image: nginx, secrets: [key]}}\nsecrets: {key: {file: ./missing}}\n";
    await writeFile(join(cwd, "c.yaml"), text);
    const { code, out } = await berth("policy check --policy policy.yaml -c c.yaml shop", {}, { cwd });
    expect([code, out]).toEqual([0, "The policy permits stack shop\n"]);
  });
});

test("docs/policy.md contains a valid example and the default policy", async () => {
  const text = await readFile(new URL("../../../../../docs/policy.md", import.meta.url), "utf8");
  const [example = "", defaults = ""] = [...text.matchAll(/```yaml\n(.*?)```/gs)].map(([, block]) => block);
  const { policy: parsed, diagnostics } = readPolicy("docs/policy.md", Buffer.from(example));
  expect(diagnostics).toEqual([]);
  expect(parsed.rules.map(({ name }) => name)).toEqual(["monitoring", "ingress", "apps"]);
  const { out } = await berth("policy show", { getPolicy: async () => ({}) });
  expect(out.replaceAll(/^# {3}/gm, "")).toContain(defaults);
});

test("completion suggests the policy commands and their options", async () => {
  expect((await berth("__complete policy s")).out).toBe("set\nshow\n");
  expect((await berth("__complete policy set --dry")).out).toBe("--dry-run\n");
});

test.each(["set", "show", "check"])("policy %s --help shows examples", async (command) => {
  const { code, out } = await berth(`policy ${command} --help`);
  expect(out).toContain(`Examples:\n  $ berth policy ${command}`);
  expect(code).toBe(0);
});
