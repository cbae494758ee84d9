import { expect, test } from "vitest";
import { DeviceRequest } from "../../gen/berth/v1/spec.js";
import { gpusNeeded, isCdiDevice, validateDeviceRequests } from "./device-requests.js";

function problems(...requests: readonly Partial<DeviceRequest>[]): readonly string[] {
  const found: string[] = [];
  validateDeviceRequests(
    requests.map((request) => DeviceRequest.fromPartial(request)),
    "r",
    (path, message) => found.push(`${path}: ${message}`),
  );
  return found;
}

test("accepts requests for a number of devices, for all devices, and for devices by name", () => {
  expect(
    problems(
      { count: -1, capabilities: ["gpu"] },
      { count: 2, driver: "nvidia" },
      { deviceIds: ["0", "GPU-1"], driver: "nvidia" },
      { deviceIds: ["nvidia.com/gpu=all"], driver: "cdi" },
    ),
  ).toEqual([]);
});

test("reports every problem of a request", () => {
  expect(
    problems(
      { count: 1 },
      { count: -2, driver: "a" },
      { count: 1, driver: "a", deviceIds: ["0"] },
      { driver: "a" },
      { driver: "cdi", deviceIds: ["../x"] },
    ),
  ).toMatchInlineSnapshot(`
    [
      "r[0]: a request needs a driver or capabilities",
      "r[1].count: -2 is not a number of devices; use -1 for all",
      "r[2]: count and device_ids are mutually exclusive",
      "r[3]: a request needs a count or device_ids",
      "r[4].device_ids[0]: "../x" is not a CDI device, such as "nvidia.com/gpu=0"",
    ]
  `);
});

test("a node needs as many GPUs as a request counts or names, and at least one for all", () => {
  const needed = (request: Partial<DeviceRequest>): number => gpusNeeded(DeviceRequest.fromPartial(request));
  expect(needed({ count: -1, capabilities: ["gpu"] })).toBe(1);
  expect(needed({ count: 3, capabilities: ["compute", "gpu"] })).toBe(3);
  expect(needed({ deviceIds: ["0", "1"], capabilities: ["gpu"] })).toBe(2);
  expect(needed({ count: 3, capabilities: ["tpu"] })).toBe(0);
});

test.each([
  ["nvidia.com/gpu=0", true],
  ["vendor1.com/device-class=gpu:1_a.b", true],
  ["/dev/sda", false],
  ["gpu=0", false],
  ["a/b/c=d", false],
  ["a/b=", false],
])("whether %s is a CDI device: %s", (text, isDevice) => {
  expect(isCdiDevice(text)).toBe(isDevice);
});
