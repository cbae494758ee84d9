import {
  ALL_DEVICES,
  CDI_DRIVER,
  type Device,
  DeviceRequest,
  GPU_CAPABILITY,
  isCdiDevice,
} from "@berth/proto";
import { type Cursor, readInteger, readItems, readText, readTextMap, readTexts } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { recordOrigins } from "./record-origins.js";
import type { ServiceDraft } from "./service-draft.js";

const DEFAULT_DEVICE_PERMISSIONS = "rwm";
const DEVICE_COUNT = { min: ALL_DEVICES, max: 2 ** 31 - 1 };

/** Compose keys for devices: device files, CDI devices and GPUs. */
export const DEVICE_KEYS: KeyTable<ServiceDraft> = {
  devices: readDevices,
  device_cgroup_rules: rule(readTexts, (draft, rules, cursor) => {
    draft.container.deviceCgroupRules = [...rules];
    recordOrigins(draft, "task.container.device_cgroup_rules", cursor);
  }),
  gpus: (cursor, draft) => readDeviceRequests(cursor, draft, { isGpuRequest: true }),
};

/** Reads `deploy.resources.reservations.devices`, or `gpus`. */
export function readDeviceRequests(
  cursor: Cursor,
  draft: ServiceDraft,
  { isGpuRequest }: { readonly isGpuRequest: boolean },
): void {
  for (const item of readItems(cursor) ?? []) {
    const request = DeviceRequest.fromPartial({});
    applyKeys(item, DEVICE_REQUEST_KEYS, request);
    if (isGpuRequest && !request.capabilities.includes(GPU_CAPABILITY)) {
      request.capabilities.push(GPU_CAPABILITY);
    }
    addRequest(item, draft, request);
  }
}

const DEVICE_REQUEST_KEYS: KeyTable<DeviceRequest> = {
  driver: rule(readText, (request, driver) => {
    request.driver = driver;
  }),
  count: rule(
    (cursor) => readInteger(cursor, DEVICE_COUNT),
    (request, count) => {
      request.count = count;
    },
  ),
  device_ids: rule(readTexts, (request, ids) => {
    request.deviceIds = [...ids];
  }),
  capabilities: rule(readTexts, (request, capabilities) => {
    request.capabilities = [...capabilities];
  }),
  options: rule(readTextMap, (request, options) => {
    request.options = options;
  }),
};

function readDevices(cursor: Cursor, draft: ServiceDraft): void {
  draft.origins.set("task.container.devices", cursor);
  const cdiDevices: string[] = [];
  for (const item of readItems(cursor) ?? []) {
    const device = readDevice(item);
    if (isCdiDevice(device.hostPath)) {
      cdiDevices.push(device.hostPath);
    } else if (device.hostPath.startsWith("/")) {
      const { devices } = draft.container;
      draft.origins.set(`task.container.devices[${devices.length}]`, item);
      devices.push(device);
    } else {
      const message = `${JSON.stringify(device.hostPath)} is neither an absolute device path nor a CDI device such as "nvidia.com/gpu=0"`;
      item.diagnostics.error(item, message);
    }
  }
  if (cdiDevices.length === 0) return;
  addRequest(cursor, draft, DeviceRequest.fromPartial({ driver: CDI_DRIVER, deviceIds: cdiDevices }));
}

function addRequest(cursor: Cursor, draft: ServiceDraft, request: DeviceRequest): void {
  const { deviceRequests } = draft.container;
  draft.origins.set(`task.container.device_requests[${deviceRequests.length}]`, cursor);
  deviceRequests.push(request);
}

function readDevice(cursor: Cursor): Device {
  const device = { hostPath: "", containerPath: "", permissions: DEFAULT_DEVICE_PERMISSIONS };
  applyKeys(cursor, DEVICE_MAPPING_KEYS, device);
  return { ...device, containerPath: device.containerPath || device.hostPath };
}

const DEVICE_MAPPING_KEYS: KeyTable<Device> = {
  source: rule(readText, (device, path) => {
    device.hostPath = path;
  }),
  target: rule(readText, (device, path) => {
    device.containerPath = path;
  }),
  permissions: rule(readText, (device, permissions) => {
    device.permissions = permissions;
  }),
};
