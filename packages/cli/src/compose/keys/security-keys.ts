import { type ContainerSpec, type Device, NAMESPACE_MODES } from "@berth/proto";
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
import { recordOrigins } from "./record-origins.js";
import type { ServiceDraft } from "./service-draft.js";
import { rejectKey } from "./unsupported-keys.js";

const DEFAULT_DEVICE_PERMISSIONS = "rwm";

/** Reads the privileges of a container, its devices, and the namespaces that it shares with the host. */
export const SECURITY_KEYS: KeyTable<ServiceDraft> = {
  cap_add: containerRule("cap_add", readTexts, (container, capabilities) => {
    container.capAdd = [...capabilities];
  }),
  cap_drop: containerRule("cap_drop", readTexts, (container, capabilities) => {
    container.capDrop = [...capabilities];
  }),
  privileged: containerRule("privileged", readFlag, (container, privileged) => {
    container.privileged = privileged;
  }),
  read_only: containerRule("read_only", readFlag, (container, readOnly) => {
    container.readOnly = readOnly;
  }),
  security_opt: containerRule("security_opt", readTexts, (container, options) => {
    container.securityOpt = [...options];
  }),
  sysctls: containerRule("sysctls", readTextMap, (container, sysctls) => {
    container.sysctls = sysctls;
  }),
  devices: containerRule("devices", readDevices, (container, devices) => {
    container.devices = devices;
  }),
  device_cgroup_rules: containerRule("device_cgroup_rules", readTexts, (container, rules) => {
    container.deviceCgroupRules = [...rules];
  }),
  gpus: rejectKey(
    "gpus is not supported yet: remove the key, or constrain the service to a node and use devices",
  ),
  runtime: containerRule("runtime", readText, (container, runtime) => {
    container.runtime = runtime;
  }),
  userns_mode: containerRule("userns_mode", readText, (container, mode) => {
    container.usernsMode = mode;
  }),
  cgroup_parent: containerRule("cgroup_parent", readText, (container, parent) => {
    container.cgroupParent = parent;
  }),
  cgroup: namespaceRule("cgroupns_mode", NAMESPACE_MODES.cgroupns, (container, mode) => {
    container.cgroupnsMode = mode;
  }),
  cgroupns_mode: namespaceRule("cgroupns_mode", NAMESPACE_MODES.cgroupns, (container, mode) => {
    container.cgroupnsMode = mode;
  }),
  pid: namespaceRule("pid_mode", NAMESPACE_MODES.pid, (container, mode) => {
    container.pidMode = mode;
  }),
  ipc: namespaceRule("ipc_mode", NAMESPACE_MODES.ipc, (container, mode) => {
    container.ipcMode = mode;
  }),
  uts: namespaceRule("uts_mode", NAMESPACE_MODES.uts, (container, mode) => {
    container.utsMode = mode;
  }),
};

/** Creates a rule for one field of the container, which also records where its value is written. */
function containerRule<T>(
  field: string,
  read: (cursor: Cursor) => T | undefined,
  write: (container: ContainerSpec, value: T) => void,
): KeyRule<ServiceDraft> {
  return rule(read, (draft, value, cursor) => {
    write(draft.container, value);
    recordOrigins(draft, `task.container.${field}`, cursor);
  });
}

function namespaceRule(
  field: string,
  choices: readonly string[],
  write: (container: ContainerSpec, mode: string) => void,
): KeyRule<ServiceDraft> {
  const readMode = (cursor: Cursor): string | undefined => {
    const { node, diagnostics } = cursor;
    const isShared = node.kind === "scalar" && /^(?:service|container):/.test(String(node.value));
    if (!isShared) return readOneOf(cursor, choices);
    diagnostics.error(cursor, "sharing the namespace of another container is not supported yet");
    return undefined;
  };
  return containerRule(field, readMode, write);
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
