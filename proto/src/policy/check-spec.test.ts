import { expect, test } from "vitest";
import { Policy } from "../../gen/berth/v1/policy.js";
import { NetworkMode, ServiceSpec } from "../../gen/berth/v1/spec.js";
import { checkSpec } from "./check-spec.js";
import { DEFAULT_POLICY } from "./policy-rule.js";

type SpecParts = Parameters<typeof ServiceSpec.fromPartial>[0];
type Container = NonNullable<SpecParts["task"]>["container"];

const specOf = (container: Container, parts: SpecParts = {}): ServiceSpec =>
  ServiceSpec.fromPartial({ name: "shop_web", stack: "shop", task: { container }, ...parts });

const policyOf = (rule: Partial<Policy["rules"][number]>): Policy =>
  Policy.fromPartial({ rules: [{ name: "apps", stacks: ["shop"], ...rule }] });

const bind = (source: string, readOnly = false) =>
  ({ target: "/x", readOnly, kind: { $case: "bind", value: { source } } }) as const;
const volume = (driverOpts: Record<string, string>, driver = "local") =>
  ({ target: "/y", kind: { $case: "volume", value: { name: "data", driver, driverOpts } } }) as const;

const messages = (spec: ServiceSpec, policy: Policy): readonly string[] =>
  checkSpec(spec, policy).map(({ path, message }) => `${path}: ${message}`);

test("the default policy permits what Compose files use", () => {
  const spec = specOf(
    {
      privileged: true,
      mounts: [
        bind("/var/run/docker.sock"),
        bind("/srv/data"),
        bind("/proc", true),
        bind("/sys", true),
        bind("/etc/hosts", true),
        bind("/var/lib/docker", true),
        volume({}),
        volume({ type: "nfs", device: ":/export", o: "addr=10.0.0.1,rw" }),
        volume({ type: "cifs", device: "//server/share", o: "username=a" }),
        volume({ type: "tmpfs", device: "tmpfs", o: "size=100m,uid=1000" }),
        { target: "/tmp", kind: { $case: "tmpfs", value: {} } },
      ],
      capAdd: ["NET_ADMIN", "ALL"],
      devices: [{ hostPath: "/dev/dri" }],
      deviceCgroupRules: ["c 1:3 rwm"],
      securityOpt: ["no-new-privileges", "seccomp:unconfined"],
      sysctls: { "net.core.somaxconn": "1024" },
      pidMode: "host",
      ipcMode: "shareable",
      networkMode: NetworkMode.HOST,
      cgroupParent: "apps.slice",
      runtime: "nvidia",
      logDriver: { name: "syslog" },
    },
    { ports: [{ target: 80, published: 80 }, { target: 81 }] },
  );
  expect(messages(spec, DEFAULT_POLICY)).toEqual([]);
});

test("the copies of shipped mounts are no bind mounts, wherever the client found the files", () => {
  const value = { digest: `sha256:${"a".repeat(64)}`, source: "/var/run" };
  const spec = specOf({ mounts: [{ target: "/x", kind: { $case: "shipped", value } }, bind("/srv")] });
  expect(messages(spec, policyOf({ binds: { deny: { values: ["/"] } } }))).toEqual([
    'task.container.mounts[1].bind.source: bind mount of /srv is denied by policy rule "apps": / is denied',
  ]);
});

test("reports everything that a rule denies, in the order of the spec, with the name of the rule", () => {
  const spec = specOf(
    {
      privileged: true,
      mounts: [bind("/etc"), bind("/srv/a"), volume({ o: "bind", device: "/home" })],
      capAdd: ["CHOWN", "SYS_ADMIN"],
      devices: [{ hostPath: "/dev/sda" }],
      networkMode: NetworkMode.HOST,
    },
    { ports: [{ target: 80, published: 80 }] },
  );
  const policy = policyOf({
    privileged: false,
    binds: { allow: { values: ["/srv", "/etc:ro"] } },
    capabilities: { allow: { values: ["NET_ADMIN"] } },
    devices: { allow: { values: [] } },
    namespaces: { deny: { values: ["network"] } },
    ports: { allow: { values: ["1024-65535"] } },
  });
  expect(messages(spec, policy)).toEqual([
    'task.container.privileged: privileged mode is denied by policy rule "apps"',
    'task.container.mounts[0].bind.source: bind mount of /etc is denied by policy rule "apps": it must be read-only',
    'task.container.mounts[2].volume.driver_opts.device: volume that shows /home is denied by policy rule "apps": allowed: /srv, /etc:ro',
    'task.container.cap_add[1]: capability SYS_ADMIN is denied by policy rule "apps": allowed: NET_ADMIN',
    'task.container.devices[0]: device /dev/sda is denied by policy rule "apps": none is allowed',
    'task.container.network_mode: the host\'s network namespace is denied by policy rule "apps"',
    'ports[0]: published port 80 is denied by policy rule "apps": allowed: 1024-65535',
  ]);
});

test("only the first rule with a matching pattern applies, and the default rule to other stacks", () => {
  const policy = Policy.fromPartial({
    rules: [
      { name: "infra", stacks: ["traefik", "monitoring-*"] },
      { name: "rest", stacks: ["?*"], privileged: false },
    ],
  });
  const inStack = (stack: string) => checkSpec(specOf({ privileged: true }, { stack }), policy);
  expect(inStack("monitoring-eu")).toEqual([]);
  expect(inStack("shop")).toMatchObject([{ rule: "rest" }]);
  // A service without a stack.
  expect(inStack("")).toEqual([]);
});

test("deny precedes allow, and an absent list means the default rule", () => {
  const mounts = [bind("/srv/secret/x"), bind("/srv/data"), bind("/etc")];
  const denied = policyOf({ binds: { deny: { values: ["/srv/secret"] } } });
  expect(checkSpec(specOf({ mounts }), denied).map(({ path }) => path)).toEqual([
    "task.container.mounts[0].bind.source",
  ]);
  const both = policyOf({ binds: { allow: { values: ["/srv"] }, deny: { values: ["/srv/secret"] } } });
  expect(checkSpec(specOf({ mounts }), both).map(({ path }) => path)).toEqual([
    "task.container.mounts[0].bind.source",
    "task.container.mounts[2].bind.source",
  ]);
});

test("a rule with berth_access permits a stack to read all files of the host", () => {
  const policy = policyOf({ berthAccess: true, binds: { allow: { values: ["/:ro"] } } });
  expect(messages(specOf({ mounts: [bind("/", true)] }), policy)).toEqual([]);
  expect(messages(specOf({ mounts: [bind("/")] }), policy)).toHaveLength(1);
});

test("shortens long values in messages", () => {
  const policy = policyOf({ securityOptions: { deny: { values: ["seccomp=*"] } } });
  const profile = `seccomp=${"x".repeat(500_000)}`;
  const [violation] = checkSpec(specOf({ securityOpt: [profile] }), policy);
  expect(violation?.message.length).toBeLessThan(250);
});
