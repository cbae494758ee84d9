import type { DeviceRequest } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

/** Capability of GPUs in device requests. */
export const GPU_CAPABILITY = "gpu";
/** Docker's name for the driver of devices that a host's CDI specifications describe. */
export const CDI_DRIVER = "cdi";
/** Count of a request for all devices. */
export const ALL_DEVICES = -1;

/** Pattern of a CDI device name: `VENDOR/CLASS=DEVICE`. */
const CDI_DEVICE =
  /^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\/[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?=[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

/** Returns whether text is the name of a CDI device, such as "nvidia.com/gpu=0". */
export function isCdiDevice(text: string): boolean {
  return CDI_DEVICE.test(text);
}

/** Returns the number of GPUs that a node needs for a request. 0 when the request is not about GPUs. */
export function gpusNeeded({ capabilities, count, deviceIds }: DeviceRequest): number {
  if (!capabilities.includes(GPU_CAPABILITY)) return 0;
  return Math.max(1, count, deviceIds.length);
}

/** Checks the device requests of a container. */
export function validateDeviceRequests(
  requests: readonly DeviceRequest[],
  path: string,
  report: Report,
): void {
  requests.forEach(({ driver, count, deviceIds, capabilities }, index) => {
    const at = `${path}[${index}]`;
    if (driver === "" && capabilities.length === 0) report(at, "a request needs a driver or capabilities");
    if (count < ALL_DEVICES) report(`${at}.count`, `${count} is not a number of devices; use -1 for all`);
    if (count !== 0 && deviceIds.length > 0) report(at, "count and device_ids are mutually exclusive");
    if (count === 0 && deviceIds.length === 0) report(at, "a request needs a count or device_ids");
    for (const [position, device] of deviceIds.entries()) {
      if (driver !== CDI_DRIVER || isCdiDevice(device)) continue;
      report(
        `${at}.device_ids[${position}]`,
        `${JSON.stringify(device)} is not a CDI device, such as "nvidia.com/gpu=0"`,
      );
    }
  });
}
