import { type ContainerSpec, NAMESPACE_MODES } from "@berth/proto";
import { type Cursor, readFlag, readOneOf, readText, readTextMap, readTexts } from "../tree/cursor.js";
import { type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import { recordOrigins } from "./record-origins.js";
import type { ServiceDraft } from "./service-draft.js";
import { isSharedMode, shareNamespace } from "./sharing-keys.js";

/** Reads the privileges of a container, and the namespaces that it shares with the host. */
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
  pid: sharedNamespaceRule("pid", NAMESPACE_MODES.pid, (container, mode) => {
    container.pidMode = mode;
  }),
  ipc: sharedNamespaceRule("ipc", NAMESPACE_MODES.ipc, (container, mode) => {
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
  return containerRule(field, (cursor) => readOneOf(cursor, choices), write);
}

/** Creates a rule for a namespace of the host, or of the containers of another service. */
function sharedNamespaceRule(
  kind: "pid" | "ipc",
  choices: readonly string[],
  write: (container: ContainerSpec, mode: string) => void,
): KeyRule<ServiceDraft> {
  const readMode = namespaceRule(`${kind}_mode`, choices, write);
  return (cursor, draft) => {
    if (isSharedMode(cursor)) {
      shareNamespace(kind, cursor, draft);
    } else {
      readMode(cursor, draft);
    }
  };
}
