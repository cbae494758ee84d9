import {
  type AccessList,
  type ContainerSpec,
  DEFAULT_HOST_FILES,
  NetworkMode,
  Policy,
  type PolicyRule,
  type PortSpec,
  ServiceSpec,
  TaskState,
} from "@berth/proto";
import { describe, expect, test } from "vitest";
import { reconcile } from "../../packages/agent/src/core/tasks/reconcile.js";
import { specWith, taskWith, viewWith } from "../../packages/agent/src/core/tasks/testing.js";
import { decideDeployment } from "../../packages/control-plane/src/api/deploy/decide-deployment.js";
import { ClusterState } from "../../packages/control-plane/src/state/cluster-state.js";
import { POLICY_NAME } from "../../packages/control-plane/src/state/record-kinds.js";

type Container = NonNullable<Parameters<typeof ServiceSpec.fromPartial>[0]["task"]>["container"];

/** A spec that the rule must deny, although it does not contain the text that the rule names. */
interface Attack {
  readonly title: string;
  readonly rule?: Partial<PolicyRule>;
  readonly container?: Container;
  readonly ports?: readonly Partial<PortSpec>[];
  /** @default shop_web */
  readonly serviceName?: string;
}

const allow = (...values: string[]): AccessList => ({ allow: { values }, deny: undefined });
const deny = (...values: string[]): AccessList => ({ allow: undefined, deny: { values } });
const bind = (source: string, more: { readOnly?: boolean; propagation?: string } = {}): Container => ({
  mounts: [
    {
      target: "/x",
      readOnly: more.readOnly ?? false,
      kind: { $case: "bind", value: { source, propagation: more.propagation ?? "" } },
    },
  ],
});
const volume = (driverOpts: Record<string, string>, driver = "local"): Container => ({
  mounts: [{ target: "/x", kind: { $case: "volume", value: { name: "data", driver, driverOpts } } }],
});

const ATTACKS: readonly Attack[] = [
  // The rule `default`: berth's own directories, sockets and ports.
  { title: "a bind mount of berth's directory", container: bind("/var/lib/berth") },
  { title: "a bind mount of a file of berth", container: bind("/var/lib/berth/agent/ingress/ingress.sock") },
  { title: "a bind mount of a directory that contains berth's directory", container: bind("/var") },
  { title: "a read-only bind mount of the root directory", container: bind("/", { readOnly: true }) },
  { title: "slashes and dots in a path", container: bind("//var/./lib///berth/") },
  { title: "a path with ..", container: bind("/srv/../var/lib/berth") },
  { title: "the root directory by way of a process", container: bind("/proc/1/root/var/lib/berth") },
  { title: "the root directory by way of a thread", container: bind("/proc/self/task/1/root/var/lib/berth") },
  { title: "the working directory of a process", container: bind("/proc/1/cwd") },
  { title: "a file descriptor of dockerd", container: bind("/dev/fd/7") },
  {
    title: "a placeholder that becomes the name of berth's directory",
    serviceName: "berth",
    container: bind("/var/lib/{{.Service.Name}}"),
  },
  {
    title: "a volume that is a bind mount",
    container: volume({ type: "none", o: "bind", device: "/var/lib/berth" }),
  },
  {
    title: "a volume of type tmpfs that is a bind mount",
    container: volume({ type: "tmpfs", o: "ro,rbind", device: "/var/lib" }),
  },
  { title: "a bind option with spaces", container: volume({ o: "ro, bind", device: "/var/lib/berth/" }) },
  {
    title: "a volume of the default driver that is a bind mount",
    container: volume({ o: "bind", device: "/" }, ""),
  },
  {
    title: "an overlay of berth's directory",
    container: volume({ type: "overlay", device: "overlay", o: "lowerdir=/srv:/var/lib/berth" }),
  },
  { title: "a published port of berth", ports: [{ target: 80, published: 7400 }] },
  { title: "a cgroup parent with ..", container: { cgroupParent: "/docker/../system.slice" } },
  // The Docker socket.
  { title: "the Docker socket", rule: { dockerSocket: false }, container: bind("/run/docker.sock") },
  {
    title: "the Docker socket by its link",
    rule: { dockerSocket: false },
    container: bind("/var/run/docker.sock"),
  },
  {
    title: "the directory of the Docker socket",
    rule: { dockerSocket: false },
    container: bind("/var/run/", { readOnly: true }),
  },
  {
    title: "the socket of containerd",
    rule: { dockerSocket: false },
    container: bind("/run/containerd/containerd.sock"),
  },
  { title: "a plugin socket", rule: { dockerSocket: false }, container: bind("/run/docker/plugins") },
  {
    title: "the Docker socket as a volume",
    rule: { dockerSocket: false },
    container: volume({ type: "none", o: "bind", device: "/var/run/docker.sock" }),
  },
  // Binds.
  { title: "a directory beside the allowed one", rule: { binds: allow("/srv") }, container: bind("/srv2") },
  {
    title: "a directory above the allowed one",
    rule: { binds: allow("/srv/data") },
    container: bind("/srv"),
  },
  {
    title: "a writable mount where only read-only ones are allowed",
    rule: { binds: allow("/etc:ro") },
    container: bind("/etc"),
  },
  {
    title: "a placeholder in place of an allowed name",
    rule: { binds: allow("/srv/a") },
    container: bind("/srv/{{.Task.Slot}}"),
  },
  {
    title: "a placeholder that becomes a denied name",
    rule: { binds: deny("/srv/shop_web") },
    container: bind("/srv/{{.Service.Name}}"),
  },
  {
    title: "a denied directory by its link",
    rule: { binds: deny("/run/lock") },
    container: bind("/var/lock/x"),
  },
  {
    title: "a mount that propagates to the host",
    rule: { propagation: allow("private", "rprivate") },
    container: bind("/srv", { propagation: "rshared" }),
  },
  {
    title: "two propagation modes in one",
    rule: { propagation: deny("shared", "rshared") },
    container: bind("/srv", { propagation: "rprivate,shared" }),
  },
  // Volumes.
  {
    title: "a file system on a device of the host",
    rule: { devices: deny("/dev") },
    container: volume({ type: "ext4", device: "/dev/sda1" }),
  },
  {
    title: "a network file system",
    rule: { volumeOptions: deny("type=nfs*") },
    container: volume({ type: "nfs4", device: ":/", o: "addr=10.0.0.1" }),
  },
  { title: "a driver of a plugin", rule: { volumeDrivers: allow("local") }, container: volume({}, "plugin") },
  // Devices.
  {
    title: "a device",
    rule: { devices: allow("/dev/dri") },
    container: { devices: [{ hostPath: "/dev/sda" }] },
  },
  {
    title: "all devices",
    rule: { devices: deny("/dev/sd*") },
    container: { devices: [{ hostPath: "/dev/" }] },
  },
  {
    title: "a device by another spelling",
    rule: { devices: deny("/dev/sd*") },
    container: { devices: [{ hostPath: "/dev//./sda1" }] },
  },
  {
    title: "a device outside /dev by ..",
    rule: { devices: deny("/dev/sd*") },
    container: { devices: [{ hostPath: "/dev/shm/../sda" }] },
  },
  {
    title: "a GPU of a driver",
    rule: { devices: deny("/dev/gpu") },
    container: { deviceRequests: [{ driver: "nvidia", count: 1, capabilities: ["gpu"] }] },
  },
  {
    title: "all devices of any driver",
    rule: { devices: deny("/dev") },
    container: { deviceRequests: [{ count: -1, capabilities: ["tpu"] }] },
  },
  {
    title: "a CDI device",
    rule: { devices: allow("/dev/dri") },
    container: { deviceRequests: [{ driver: "cdi", deviceIds: ["vendor.com/disk=0"] }] },
  },
  {
    title: "a device of a driver with .. in its name",
    rule: { devices: allow("/dev/gpu") },
    container: { deviceRequests: [{ deviceIds: ["../sda"], capabilities: ["gpu"] }] },
  },
  {
    title: "a privileged hook after the start",
    rule: { privileged: false },
    container: { postStart: [{ command: ["a"], privileged: true }] },
  },
  {
    title: "a privileged hook before the stop",
    rule: { privileged: false },
    container: { preStop: [{ command: ["a"] }, { command: ["a"], privileged: true }] },
  },
  {
    title: "a class of devices",
    rule: { deviceCgroupRules: false },
    container: { deviceCgroupRules: ["b 8:* rwm"] },
  },
  // Privileges.
  { title: "privileged mode", rule: { privileged: false }, container: { privileged: true } },
  {
    title: "a capability in lower case",
    rule: { capabilities: deny("SYS_ADMIN") },
    container: { capAdd: ["sys_admin"] },
  },
  {
    title: "a capability with its prefix",
    rule: { capabilities: deny("SYS_ADMIN") },
    container: { capAdd: ["cap_Sys_Admin"] },
  },
  {
    title: "all capabilities, of which one is denied",
    rule: { capabilities: deny("SYS_ADMIN") },
    container: { capAdd: ["ALL"] },
  },
  {
    title: "all capabilities, of which some are allowed",
    rule: { capabilities: allow("A*", "NET_ADMIN") },
    container: { capAdd: ["all"] },
  },
  {
    title: "a security option with a colon",
    rule: { securityOptions: deny("seccomp=unconfined") },
    container: { securityOpt: ["seccomp:unconfined"] },
  },
  {
    title: "a security option without its name",
    rule: { securityOptions: deny("label=disable") },
    container: { securityOpt: ["disable"] },
  },
  {
    title: "a sysctl with slashes",
    rule: { sysctls: deny("net.core.*") },
    container: { sysctls: { "net/core/somaxconn": "1" } },
  },
  {
    title: "a sysctl with a path in its name",
    rule: { sysctls: allow("net.*") },
    container: { sysctls: { "net/../kernel/core_pattern": "|x" } },
  },
  { title: "another runtime", rule: { runtimes: allow("runc") }, container: { runtime: "evil" } },
  {
    title: "a cgroup outside the allowed one",
    rule: { cgroupParents: allow("/apps") },
    container: { cgroupParent: "system.slice" },
  },
  {
    title: "a log driver",
    rule: { logDrivers: deny("syslog") },
    container: { logDriver: { name: "syslog" } },
  },
  // Namespaces.
  {
    title: "the network of the host",
    rule: { namespaces: allow() },
    container: { networkMode: NetworkMode.HOST },
  },
  { title: "the processes of the host", rule: { namespaces: deny("pid") }, container: { pidMode: "host" } },
  {
    title: "the IPC namespace of the host",
    rule: { namespaces: deny("ipc") },
    container: { ipcMode: "host" },
  },
  { title: "the host name", rule: { namespaces: allow("network") }, container: { utsMode: "host" } },
  {
    title: "the users of the host",
    rule: { namespaces: allow("network") },
    container: { usernsMode: "host" },
  },
  {
    title: "the cgroups of the host",
    rule: { namespaces: deny("cgroup") },
    container: { cgroupnsMode: "host" },
  },
  { title: "a low port", rule: { ports: allow("1024-65535") }, ports: [{ target: 80, published: 80 }] },
];

const STACK = "shop";

function policyOf(rule: Partial<PolicyRule> | undefined): Policy {
  const rules = rule === undefined ? [] : [{ name: "apps", stacks: ["sh?p"], ...rule }];
  // A later rule that permits everything does not apply.
  return Policy.fromPartial({ rules: [...rules, { name: "other", stacks: ["other"], berthAccess: true }] });
}

function specOf({ container, ports = [] }: Attack): ServiceSpec {
  const task = { container: { image: "web:1", ...container } };
  return ServiceSpec.fromPartial({ name: "shop_web", stack: STACK, task, ports: [...ports] });
}

/** Deploys the spec as the leader does. Returns the error. */
function deploy(attack: Attack): unknown {
  const state = new ClusterState();
  const policy = policyOf(attack.rule);
  state.apply([{ change: { kind: "put-policy", name: POLICY_NAME, policy }, revision: 1n }]);
  const deployment = { stack: STACK, specs: [specOf(attack)], prune: false };
  try {
    return decideDeployment(deployment, state, { nowMs: 1, newId: () => "s" });
  } catch (error) {
    return error;
  }
}

/** Assigns the spec to an agent, as a leader that did not check it. Returns the agent's decision. */
function assign(attack: Attack): ReturnType<typeof reconcile> {
  const { task, ports } = specOf(attack);
  const spec = specWith({ container: task?.container as ContainerSpec, ports });
  return reconcile(
    viewWith({
      assignment: {
        task: taskWith({ stack: STACK, serviceName: attack.serviceName ?? "shop_web" }),
        spec,
        receivedAtMs: 1,
      },
      policy: { policy: policyOf(attack.rule), files: DEFAULT_HOST_FILES },
    }),
    1,
  );
}

describe("policy-bypass", () => {
  test.each(ATTACKS)("the leader and the agent each refuse $title", (attack) => {
    const name = attack.rule === undefined ? "default" : "apps";
    expect(deploy(attack)).toMatchObject({ code: "BERTH_POLICY_DENIED" });
    expect(deploy(attack)).toHaveProperty("message", expect.stringContaining(`policy rule "${name}"`));
    const { status, step } = assign(attack);
    expect(status).toMatchObject({ state: TaskState.REJECTED });
    expect(status?.message).toContain(`policy rule "${name}"`);
    expect(step).toBeUndefined();
  });

  test.each(ATTACKS)(
    "a rule that permits everything permits $title unless the path is ambiguous",
    (attack) => {
      const text = JSON.stringify(attack.container ?? {});
      const isAmbiguous = text.includes("..") || text.includes("rprivate,shared");
      const isAccepted = !(deploy({ ...attack, rule: { berthAccess: true } }) instanceof Error);
      // A name of a sysctl with .. is ambiguous only for a rule with patterns.
      expect(isAccepted).toBe(!isAmbiguous || attack.title.includes("sysctl"));
    },
  );

  test("the agent refuses a path whose placeholder leads to its own data directory", () => {
    const attack = { title: "", container: bind("/data/{{.Node.Hostname}}/agent") };
    const view = viewWith({
      assignment: {
        task: taskWith(),
        spec: specWith({ container: specOf(attack).task?.container as ContainerSpec }),
        receivedAtMs: 1,
      },
      policy: { policy: policyOf(undefined), files: { berth: ["/data/host1/agent"], docker: [] } },
    });
    expect(reconcile(view, 1).status?.message).toContain("/data/host1/agent belongs to berth");
  });
});
