import { type Device, NAMESPACE_MODES } from "@berth/proto";
import {
  type Cursor,
  readFlag,
  readItems,
  readOneOf,
  readText,
  readTextMap,
  readTexts,
} from "../tree/cursor.js";
import { applyKeys, type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";
import { rejectKey } from "./unsupported-keys.js";

const DEFAULT_DEVICE_PERMISSIONS = "rwm";

/** Reads the privileges of a container, its devices, and the namespaces that it shares with the host. */
export const SECURITY_KEYS: KeyTable<ServiceDraft> = {
  cap_add: rule(readTexts, (draft, capabilities) => {
    draft.container.capAdd = [...capabilities];
  }),
  cap_drop: rule(readTexts, (draft, capabilities) => {
    draft.container.capDrop = [...capabilities];
  }),
  privileged: rule(readFlag, (draft, privileged) => {
    draft.container.privileged = privileged;
  }),
  read_only: rule(readFlag, (draft, readOnly) => {
    draft.container.readOnly = readOnly;
  }),
  security_opt: rule(readTexts, (draft, options) => {
    draft.container.securityOpt = [...options];
  }),
  sysctls: rule(readTextMap, (draft, sysctls) => {
    draft.container.sysctls = sysctls;
  }),
  devices: rule(readDevices, (draft, devices) => {
    draft.container.devices = devices;
  }),
  device_cgroup_rules: rule(readTexts, (draft, rules) => {
    draft.container.deviceCgroupRules = [...rules];
  }),
  gpus: rejectKey(
    "gpus is not supported yet: remove the key, or constrain the service to a node and use devices",
  ),
  runtime: rule(readText, (draft, runtime) => {
    draft.container.runtime = runtime;
  }),
  userns_mode: rule(readText, (draft, mode) => {
    draft.container.usernsMode = mode;
  }),
  cgroup_parent: rule(readText, (draft, parent) => {
    draft.container.cgroupParent = parent;
  }),
  cgroup: namespaceRule(NAMESPACE_MODES.cgroupns, (draft, mode) => {
    draft.container.cgroupnsMode = mode;
  }),
  cgroupns_mode: namespaceRule(NAMESPACE_MODES.cgroupns, (draft, mode) => {
    draft.container.cgroupnsMode = mode;
  }),
  pid: namespaceRule(NAMESPACE_MODES.pid, (draft, mode) => {
    draft.container.pidMode = mode;
  }),
  ipc: namespaceRule(NAMESPACE_MODES.ipc, (draft, mode) => {
    draft.container.ipcMode = mode;
  }),
  uts: namespaceRule(NAMESPACE_MODES.uts, (draft, mode) => {
    draft.container.utsMode = mode;
  }),
};

function namespaceRule(
  choices: readonly string[],
  write: (draft: ServiceDraft, mode: string) => void,
): KeyRule<ServiceDraft> {
  return rule((cursor) => {
    const { node, diagnostics } = cursor;
    const isShared = node.kind === "scalar" && /^(?:service|container):/.test(String(node.value));
    if (!isShared) return readOneOf(cursor, choices);
    diagnostics.error(cursor, "sharing the namespace of another container is not supported yet");
    return undefined;
  }, write);
}

function readDevices(cursor: Cursor): Device[] | undefined {
  return readItems(cursor)
    ?.map(readDevice)
    .filter((device) => device !== undefined);
}

function readDevice(cursor: Cursor): Device | undefined {
  if (cursor.node.kind === "map") {
    const device = { hostPath: "", containerPath: "", permissions: DEFAULT_DEVICE_PERMISSIONS };
    applyKeys(cursor, DEVICE_KEYS, device);
    if (device.hostPath === "") cursor.diagnostics.error(cursor, "the device has no source");
    return { ...device, containerPath: device.containerPath || device.hostPath };
  }
  const text = readText(cursor);
  if (text === undefined) return undefined;
  if (!text.startsWith("/")) {
    const message = `${JSON.stringify(text)} is not a device path: CDI devices are not supported yet`;
    cursor.diagnostics.error(cursor, message);
    return undefined;
  }
  const [hostPath = "", containerPath = hostPath, permissions = DEFAULT_DEVICE_PERMISSIONS] = text.split(":");
  return { hostPath, containerPath, permissions };
}

const DEVICE_KEYS: KeyTable<Device> = {
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
