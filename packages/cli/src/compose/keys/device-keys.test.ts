import { describe, expect, test } from "vitest";
import { loadService } from "../../testing/load-text.js";

describe("devices", () => {
  test("reads paths, CDI devices, GPUs and device reservations", () => {
    const { specs, messages } = loadService(`devices:
  - /dev/ttyUSB0
  - /dev/sda:/dev/xvda:r
  - { source: /dev/dri, target: /dev/dri }
  - nvidia.com/gpu=0
  - vendor1.com/device=gpu
device_cgroup_rules: ["c 1:3 mr"]
gpus: [{ driver: nvidia, count: 2, options: { a: b } }]
deploy:
  resources:
    reservations:
      devices:
        - { capabilities: [gpu, utility], device_ids: ["0", "3"], driver: nvidia }
        - { capabilities: [tpu], count: all }`);
    expect(messages).toEqual([]);
    expect(specs[0]?.task?.container).toMatchObject({
      devices: [
        { hostPath: "/dev/ttyUSB0", containerPath: "/dev/ttyUSB0", permissions: "rwm" },
        { hostPath: "/dev/sda", containerPath: "/dev/xvda", permissions: "r" },
        { hostPath: "/dev/dri", containerPath: "/dev/dri", permissions: "rwm" },
      ],
      deviceCgroupRules: ["c 1:3 mr"],
      deviceRequests: [
        {
          driver: "cdi",
          count: 0,
          deviceIds: ["nvidia.com/gpu=0", "vendor1.com/device=gpu"],
          capabilities: [],
        },
        { driver: "nvidia", count: 2, deviceIds: [], capabilities: ["gpu"], options: { a: "b" } },
        { driver: "nvidia", count: 0, deviceIds: ["0", "3"], capabilities: ["gpu", "utility"] },
        { driver: "", count: -1, deviceIds: [], capabilities: ["tpu"] },
      ],
    });
    expect(loadService("gpus: all").specs[0]?.task?.container?.deviceRequests).toMatchObject([
      { driver: "", count: -1, capabilities: ["gpu"] },
    ]);
  });

  test("reports invalid devices at their places", () => {
    const { messages } = loadService(`devices: [ttyUSB0, "nvidia.com/gpu"]
gpus: [{ count: 0 }, { count: -2 }, { driver: cdi, device_ids: ["0"] }]`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:4:15: services.s.devices[0]: "ttyUSB0" is neither an absolute device path nor a CDI device such as "nvidia.com/gpu=0"",
        "c.yaml:4:24: services.s.devices[1]: "nvidia.com/gpu" is neither an absolute device path nor a CDI device such as "nvidia.com/gpu=0"",
        "c.yaml:5:12: services.s.gpus[0]: a request needs a count or device_ids",
        "c.yaml:5:26: services.s.gpus[1]: a request needs a count or device_ids",
        "c.yaml:5:35: services.s.gpus[1].count: -2 is not between -1 and 2147483647",
        "c.yaml:5:41: services.s.gpus[2]: "0" is not a CDI device, such as "nvidia.com/gpu=0"",
      ]
    `);
  });
});
