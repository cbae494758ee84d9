import { describe, expect, test } from "vitest";
import {
  type ContainerSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  ServiceSpec,
} from "../../gen/berth/v1/spec.js";
import { applySpecDefaults } from "./apply-spec-defaults.js";
import { validateServiceSpec } from "./validate-service-spec.js";

const good = { name: "shop_web", stack: "shop", task: { container: { image: "nginx:1.27" } } };

function violations(change: Parameters<typeof ServiceSpec.fromPartial>[0]): readonly string[] {
  const spec = applySpecDefaults(ServiceSpec.fromPartial({ ...good, ...change }));
  return validateServiceSpec(spec).map(({ path, message }) => `${path}: ${message}`);
}

function container(change: Parameters<typeof ContainerSpec.fromPartial>[0]): readonly string[] {
  return violations({ task: { container: { image: "nginx", ...change } } });
}

describe("validateServiceSpec", () => {
  test("accepts a service that only names its image", () => {
    expect(violations({})).toEqual([]);
  });

  test("rejects a value of an enum that this release does not know", () => {
    const unknown = 67 as number as PortSpec_Protocol;
    expect(violations({ ports: [{ target: 80, protocol: unknown }] })).toEqual([
      ": the spec has a value that this release does not support: Unrecognized enum value 67 for enum PortSpec_Protocol",
    ]);
  });

  test("reports everything at once, in the order of the fields", () => {
    expect(
      violations({
        name: "web",
        task: { container: { image: "Nginx", env: ["A"] }, limits: { memoryBytes: 1024 } },
        mode: { $case: "replicated", value: { replicas: -1 } },
        placement: { constraints: ["zone == a"] },
        ports: [{ target: 0, published: 80 }],
      }),
    ).toMatchInlineSnapshot(`
      [
        "name: the name of a service in stack shop must start with shop_, not web",
        "task.container.image: "Nginx" is not an image name: repository names must be lower case",
        "task.container.env[0]: "A" is not KEY=VALUE",
        "task.limits.memory_bytes: the memory limit is below Docker's minimum of 6 MiB",
        "replicated.replicas: -1 replicas is out of range (0 to 100000)",
        "placement.constraints[0]: unknown node attribute "zone"; use node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, node.labels.KEY or engine.labels.KEY",
        "ports[0].target: 0 is not a valid container port (1 to 65535)",
      ]
    `);
  });

  test("reports invalid hooks, limits, mounts and interfaces at their fields", () => {
    expect(
      container({
        postStart: [{ command: [] }, { command: ["a"], workingDir: "b", env: ["=x"] }],
        preStop: Array.from({ length: 33 }, () => ({ command: ["a"] })),
        blockIo: { weight: 5, readBytes: [{ path: "sda", rate: -1 }] },
        links: { db: "shop-db-1", "a b": "-" },
        cpuPeriodUs: -1,
        cpuQuotaUs: -2,
        mounts: [
          { target: "/a", kind: { $case: "tmpfs", value: { mode: 0o10000, options: ["foo", "uid=0"] } } },
          { target: "/b", kind: { $case: "image", value: { image: "A", subpath: "/x" } } },
          { target: "/c", kind: { $case: "bind", value: { source: "/c", recursive: "maybe" } } },
          { target: "/d", kind: { $case: "volume", value: { name: "d-{{.Task.Slot}}", subpath: "../x" } } },
          { target: "/e", kind: { $case: "volume", value: { name: "{{.Task.Foo}}" } } },
          { target: "/f", kind: { $case: "shipped", value: { digest: "sha256:../x", selinux: "y" } } },
          { target: "/g", kind: { $case: "bind", value: { source: "/g:h", selinux: "z" } } },
        ],
      }),
    ).toMatchInlineSnapshot(`
      [
        "task.container.mounts[0].tmpfs.mode: 10000 is not a mode such as 1777",
        "task.container.mounts[0].tmpfs.options[0]: "foo" is not an option of tmpfs; use uid, gid, size, mode, nr_inodes, exec, suid, dev and their opposites",
        "task.container.mounts[1].image.image: "A" is not an image name: repository names must be lower case",
        "task.container.mounts[1].image.subpath: "/x" is not a path inside the mount; use a relative path without ..",
        "task.container.mounts[2].bind.recursive: "maybe" is invalid; use enabled, disabled, writable, readonly",
        "task.container.mounts[3].volume.subpath: "../x" is not a path inside the mount; use a relative path without ..",
        "task.container.mounts[4].volume.name: the placeholder "{{.Task.Foo}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        "task.container.mounts[5].shipped.digest: "sha256:../x" is not the digest of an archive",
        "task.container.mounts[5].shipped.selinux: "y" is not an SELinux label; use z or Z",
        "task.container.mounts[6].bind.selinux: Docker cannot label a mount with a colon in a path; remove the label or the colon",
        "task.container.post_start[0].command: the hook has no command",
        "task.container.post_start[1].working_dir: "b" is not an absolute path",
        "task.container.post_start[1].env[0]: "=x" is not KEY=VALUE",
        "task.container.pre_stop: too many hooks (33, maximum 32)",
        "task.container.block_io: the weight 5 is not between 10 and 1000",
        "task.container.block_io: the rate -1 is negative",
        "task.container.block_io: "sda" is not the path of a device",
        "task.container.cpu_period_us: the time is negative",
        "task.container.cpu_quota_us: the time is negative",
        "task.container.links: "a b" is not a valid hostname",
        "task.container.links: "-" is not a valid hostname",
      ]
    `);
    const network = {
      network: "a",
      macAddress: "01:00:5e:00:00:01",
      linkLocalIps: ["10.0.0.1"],
      interfaceName: "a b",
    };
    expect(violations({ task: { container: { image: "a" }, networks: [network] } })).toMatchInlineSnapshot(`
      [
        "task.networks[0].mac_address: "01:00:5e:00:00:01" is not a unicast MAC address",
        "task.networks[0].link_local_ips[0]: "10.0.0.1" is not a link-local IPv4 address, such as 169.254.1.1",
        "task.networks[0].interface_name: "a b" is not the name of an interface",
      ]
    `);
  });

  test("refuses a port that is published twice on overlapping addresses, and only then", () => {
    const port = { target: 80, published: 8080 };
    expect(violations({ ports: [port, { ...port, hostIp: "127.0.0.1" }] })).toEqual([
      "ports[1]: port 127.0.0.1:8080/tcp is already published by ports[0]",
    ]);
    expect(violations({ ports: [port, { ...port, protocol: PortSpec_Protocol.UDP }] })).toEqual([]);
    expect(
      violations({
        ports: [
          { ...port, hostIp: "127.0.0.1" },
          { ...port, hostIp: "10.0.0.1" },
        ],
      }),
    ).toEqual([]);
    expect(violations({ ports: [{ target: 80, mode: PortSpec_Mode.HOST }, { target: 81 }] })).toEqual([]);
  });

  test("refuses mounts that are relative, over the root, or on one target", () => {
    expect(
      container({
        mounts: [
          { target: "/data", kind: { $case: "bind", value: { source: "./data" } } },
          { target: "/data/", kind: { $case: "volume", value: { name: "shop_data" } } },
          { target: "/", kind: { $case: "tmpfs", value: {} } },
          { target: "x" },
        ],
      }),
    ).toMatchInlineSnapshot(`
      [
        "task.container.mounts[0].bind.source: "./data" is not an absolute path on the node",
        "task.container.mounts[1].target: task.container.mounts[0] has the same target /data/",
        "task.container.mounts[2].target: the container's root directory cannot be a mount target",
        "task.container.mounts[3].target: "x" is not an absolute path in the container",
        "task.container.mounts[3]: the mount has no type; set bind, volume or tmpfs",
      ]
    `);
  });

  test("refuses a health check that Docker would refuse", () => {
    expect(
      container({ healthcheck: { test: ["curl", "x"], intervalMs: 0.5, timeoutMs: -1 } }),
    ).toMatchInlineSnapshot(`
      [
        "task.container.healthcheck.test: the list must start with CMD, CMD-SHELL or NONE, not "curl"",
        "task.container.healthcheck.timeout_ms: the duration is negative",
        "task.container.healthcheck.interval_ms: 0.5 is not an integer",
      ]
    `);
    expect(container({ healthcheck: { test: ["CMD-SHELL", "true"], intervalMs: 1000 } })).toEqual([]);
    expect(container({ healthcheck: { test: ["NONE"] } })).toEqual([]);
  });

  test.each([
    "nginx",
    "library/nginx:1.2-alpine",
    "localhost:5000/a/b",
    "127.0.0.1:5000/web:v1",
    `r.io/a@sha256:${"a".repeat(64)}`,
  ])("takes the image %s", (image) => {
    expect(container({ image })).toEqual([]);
  });

  test.each(["nginx:", ":latest", "a b", "a/Upper", "x@sha256:12", "http://r.io/a"])(
    "refuses the image %j",
    (image) => {
      expect(container({ image })).toHaveLength(1);
    },
  );

  test("refuses a spec that etcd would not take", () => {
    const env = Array.from({ length: 60 }, (_, index) => `K${index}=${"x".repeat(10_000)}`);
    expect(container({ env })).toEqual([
      expect.stringMatching(/^: the spec is too large \(\d+ bytes, maximum 524288\)$/),
    ]);
  });

  test("refuses more reserved than the limit allows", () => {
    const limits = { memoryBytes: 64 << 20, nanoCpus: 1e9 };
    const reservations = { memoryBytes: 65 << 20, nanoCpus: 2e9 };
    expect(violations({ task: { ...good.task, limits, reservations } })).toHaveLength(2);
  });
});

describe("applySpecDefaults", () => {
  test("applySpecDefaults is idempotent and keeps values that are set", () => {
    const once = applySpecDefaults(
      ServiceSpec.fromPartial({ ...good, update: { parallelism: 0, delayMs: 5 } }),
    );
    expect(applySpecDefaults(once)).toEqual(once);
    expect(once.update).toMatchObject({ parallelism: 0, delayMs: 5 });
    expect(once.mode).toEqual({ $case: "replicated", value: { replicas: 1 } });
  });
});
