import { expect, test } from "vitest";
import { loadService } from "../../testing/load-text.js";

test("reads the limits of the older formats for CPUs and disks", () => {
  const { specs, messages } = loadService(`cpu_period: 50000
cpu_quota: 25000
cpu_rt_period: "1000"
cpu_rt_runtime: 500
blkio_config:
  weight: 300
  weight_device: [{ path: /dev/sda, weight: 400 }]
  device_read_bps: [{ path: /dev/sdb, rate: 12mb }]
  device_write_bps: [{ path: /dev/sdb, rate: 1024k }]
  device_read_iops: [{ path: /dev/sdb, rate: 120 }]
  device_write_iops: [{ path: /dev/sdb, rate: 30 }]`);
  expect(messages).toEqual([]);
  expect(specs[0]?.task?.container).toMatchObject({
    cpuPeriodUs: 50_000,
    cpuQuotaUs: 25_000,
    cpuRealtimePeriodUs: 1_000,
    cpuRealtimeRuntimeUs: 500,
    blockIo: {
      weight: 300,
      weightDevices: [{ path: "/dev/sda", weight: 400 }],
      readBytes: [{ path: "/dev/sdb", rate: 12 * 1_024 ** 2 }],
      writeBytes: [{ path: "/dev/sdb", rate: 1_024 ** 2 }],
      readOperations: [{ path: "/dev/sdb", rate: 120 }],
      writeOperations: [{ path: "/dev/sdb", rate: 30 }],
    },
  });
});

test("reports invalid limits, and says which keys have an effect on Windows only", () => {
  const { messages } = loadService(`cpu_period: -1
blkio_config: { weight: 5, device_read_bps: [{ path: sda, rate: 1 }] }
cpu_count: 2
cpu_percent: 50
isolation: hyperv
credential_spec: { file: a.json }`);
  expect(messages).toMatchInlineSnapshot(`
    [
      "c.yaml:4:17: services.s.cpu_period: -1 is not between 0 and 9007199254740991",
      "c.yaml:5:19: services.s.blkio_config: the weight 5 is not between 10 and 1000",
      "c.yaml:6:5: warning: services.s.cpu_count: the key has an effect on Windows only; use cpus",
      "c.yaml:7:5: warning: services.s.cpu_percent: the key has an effect on Windows only; use cpus",
      "c.yaml:8:5: warning: services.s.isolation: the key has an effect on Windows only, and berth runs Linux containers",
      "c.yaml:9:5: warning: services.s.credential_spec: the key has an effect on Windows only, and berth runs Linux containers",
    ]
  `);
});

test("adds the operating system to a platform, and says how the registry is asked for newer images", () => {
  const { specs, messages } = loadService(`platform: arm64
pull_policy: daily
deploy: { placement: { constraints: [""] } }`);
  expect(specs[0]).toMatchObject({
    task: { container: { platform: "linux/arm64" } },
    placement: { constraints: [] },
  });
  expect(messages).toMatchInlineSnapshot(`
    [
      "c.yaml:5:18: warning: services.s.pull_policy: the registry is checked for a newer image at each deployment, not daily",
      "c.yaml:6:42: warning: services.s.deploy.placement.constraints[0]: the constraint is empty: tasks can run on any node",
    ]
  `);
});
