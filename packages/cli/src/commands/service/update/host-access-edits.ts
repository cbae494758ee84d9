import { CDI_DRIVER, type Device, DeviceRequest, GPU_CAPABILITY, isCdiDevice } from "@berth/proto";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { type Edit, edit, inContainer } from "./edit.js";
import {
  parseAssignment,
  parseBoolean,
  parseNonEmptyText,
  parseText,
  removeKey,
  removeMatching,
  replaceMatching,
} from "./parse-flag-values.js";
import { parseGpus } from "./parse-gpus.js";

const DEFAULT_DEVICE_PERMISSIONS = "rwm";
const PERMISSIONS = /^[rwm]{1,3}$/;

/** Flags for devices of the host. */
const DEVICE_EDITS = {
  "device-rm": edit(
    parseNonEmptyText,
    inContainer(({ devices, deviceRequests }, path) => ({
      devices: removeMatching(devices, ({ containerPath }) => containerPath === path),
      deviceRequests: removeMatching(deviceRequests, isCdiRequest(path)),
    })),
  ),
  "device-add": edit(
    parseDevice,
    inContainer(({ devices, deviceRequests }, added) => {
      const { hostPath, containerPath } = added;
      if (!isCdiDevice(hostPath)) {
        return {
          devices: replaceMatching(devices, (device) => device.containerPath === containerPath, added),
        };
      }
      const request = DeviceRequest.fromPartial({ driver: CDI_DRIVER, deviceIds: [hostPath] });
      return { deviceRequests: replaceMatching(deviceRequests, isCdiRequest(hostPath), request) };
    }),
  ),
  "device-cgroup-rule-rm": edit(
    parseNonEmptyText,
    inContainer(({ deviceCgroupRules }, rule) => ({
      deviceCgroupRules: removeMatching(deviceCgroupRules, (other) => other === rule),
    })),
  ),
  "device-cgroup-rule-add": edit(
    parseNonEmptyText,
    inContainer(({ deviceCgroupRules }, rule) => ({
      deviceCgroupRules: replaceMatching(deviceCgroupRules, (other) => other === rule, rule),
    })),
  ),
  gpus: edit(
    parseGpus,
    inContainer(({ deviceRequests }, gpus) => ({
      deviceRequests: [...removeMatching(deviceRequests, isGpuRequest), ...gpus],
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Flags for namespaces, cgroups and the runtime. The validation of the spec checks the modes. */
const NAMESPACE_EDITS = {
  pid: edit(
    parseText,
    inContainer((_, pidMode) => ({ pidMode })),
  ),
  ipc: edit(
    parseText,
    inContainer((_, ipcMode) => ({ ipcMode })),
  ),
  uts: edit(
    parseText,
    inContainer((_, utsMode) => ({ utsMode })),
  ),
  userns: edit(
    parseText,
    inContainer((_, usernsMode) => ({ usernsMode })),
  ),
  cgroupns: edit(
    parseText,
    inContainer((_, cgroupnsMode) => ({ cgroupnsMode })),
  ),
  "cgroup-parent": edit(
    parseText,
    inContainer((_, cgroupParent) => ({ cgroupParent })),
  ),
  runtime: edit(
    parseText,
    inContainer((_, runtime) => ({ runtime })),
  ),
  "annotation-rm": edit(
    parseNonEmptyText,
    inContainer(({ annotations }, key) => ({ annotations: removeKey(annotations, key) })),
  ),
  "annotation-add": edit(
    parseAssignment,
    inContainer(({ annotations }, { key, value }) => ({ annotations: { ...annotations, [key]: value } })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Flags that give a container access to its host. The policy of the cluster decides whether it may have it. */
export const HOST_ACCESS_EDITS = {
  privileged: edit(
    parseBoolean,
    inContainer((_, privileged) => ({ privileged })),
  ),
  "security-opt-rm": edit(
    parseNonEmptyText,
    inContainer(({ securityOpt }, option) => ({
      securityOpt: removeMatching(securityOpt, (other) => other === option),
    })),
  ),
  "security-opt-add": edit(
    parseNonEmptyText,
    inContainer(({ securityOpt }, option) => ({
      securityOpt: replaceMatching(securityOpt, (other) => other === option, option),
    })),
  ),
  ...DEVICE_EDITS,
  ...NAMESPACE_EDITS,
} satisfies Readonly<Record<string, Edit>>;

function isCdiRequest(id: string): (request: DeviceRequest) => boolean {
  return ({ driver, deviceIds }) => driver === CDI_DRIVER && deviceIds.join() === id;
}

function isGpuRequest({ capabilities }: DeviceRequest): boolean {
  return capabilities.includes(GPU_CAPABILITY);
}

/** Parses `SOURCE[:TARGET][:PERMISSIONS]`, or the name of a CDI device such as `nvidia.com/gpu=0`. */
function parseDevice(text: string): Parsed<Device> {
  const [hostPath = "", ...others] = text.split(":");
  const [target, permissions = DEFAULT_DEVICE_PERMISSIONS, ...rest] =
    others.length === 1 && PERMISSIONS.test(text.slice(hostPath.length + 1)) ? [hostPath, ...others] : others;
  if (rest.length > 0 || !(hostPath.startsWith("/") || isCdiDevice(text))) {
    return invalid(`${JSON.stringify(text)} is not a device; use SOURCE[:TARGET][:PERMISSIONS]`);
  }
  return valid({ hostPath, containerPath: target || hostPath, permissions });
}
