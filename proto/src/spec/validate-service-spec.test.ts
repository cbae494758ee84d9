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
        "placement.constraints[0]: unknown node attribute "zone": use node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, node.labels.KEY or engine.labels.KEY",
        "ports[0].target: 0 is not a valid container port (1 to 65535)",
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
  test("is idempotent and keeps values that are set", () => {
    const once = applySpecDefaults(
      ServiceSpec.fromPartial({ ...good, update: { parallelism: 0, delayMs: 5 } }),
    );
    expect(applySpecDefaults(once)).toEqual(once);
    expect(once.update).toMatchObject({ parallelism: 0, delayMs: 5 });
    expect(once.mode).toEqual({ $case: "replicated", value: { replicas: 1 } });
  });
});
