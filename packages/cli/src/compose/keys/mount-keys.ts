import { isAbsolute } from "node:path";
import { VolumeMount } from "@berth/proto";
import { normalizeTarget } from "../text/short-mount.js";
import { parseBytes } from "../text/units.js";
import { type Cursor, readFlag, readInteger, readItems, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { childOf } from "../tree/node.js";
import { type MountDraft, mountRules, newMountDraft } from "./mount-draft.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreKey, ignoreWithWarning, rejectKey } from "./unsupported-keys.js";

/** Reads the mounts of a service: `volumes` and `tmpfs`. */
export const MOUNT_KEYS: KeyTable<ServiceDraft> = {
  volumes: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const mount = newMountDraft();
      applyKeys(item, MOUNT_FIELDS, mount);
      addMount(item, mount, draft);
    }
  },
  tmpfs: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const mount = readTmpfs(item);
      if (mount !== undefined) addMount(item, mount, draft);
    }
  },
  volume_driver: rejectKey(
    "volume_driver is not supported: declare the volumes at the top level, and set their driver there",
  ),
  volumes_from: rejectKey("sharing the mounts of another container is not supported yet"),
};

const RULES = mountRules(readFlag);

const MOUNT_FIELDS: KeyTable<MountDraft> = {
  type: RULES.type,
  source: RULES.source,
  target: RULES.target,
  read_only: RULES.readOnly,
  consistency: ignoreKey(),
  bind: (cursor, mount) => applyKeys(cursor, BIND_KEYS, mount),
  volume: (cursor, mount) => applyKeys(cursor, VOLUME_KEYS, mount),
  tmpfs: (cursor, mount) => applyKeys(cursor, TMPFS_KEYS, mount),
  image: ignoreKey(),
};

const BIND_KEYS: KeyTable<MountDraft> = {
  propagation: RULES.propagation,
  create_host_path: RULES.createHostPath,
  selinux: rule(readText, (mount, label) => {
    mount.selinux = label;
  }),
  recursive: ignoreWithWarning("recursive is not supported yet and is ignored"),
};

const VOLUME_KEYS: KeyTable<MountDraft> = {
  nocopy: RULES.noCopy,
  labels: ignoreWithWarning(
    "labels are not supported here and are ignored: set them on the volume at the top level",
  ),
  subpath: rejectKey("mounting a subdirectory of a volume is not supported yet"),
};

const TMPFS_KEYS: KeyTable<MountDraft> = {
  size: RULES.tmpfsSize,
  mode: rule(
    (cursor) => readInteger(cursor, { min: 0, max: 0o7777 }),
    (mount, mode) => {
      mount.tmpfs.mode = mode;
    },
  ),
};

/** Reads `/run:size=64m,mode=1777`. */
function readTmpfs(cursor: Cursor): MountDraft | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const [target = "", options = ""] = text.split(":");
  const mount: MountDraft = { ...newMountDraft(), type: "tmpfs", target };
  for (const option of options.split(",").filter((entry) => entry !== ""))
    applyTmpfsOption(cursor, mount, option);
  return mount;
}

function applyTmpfsOption(cursor: Cursor, mount: MountDraft, option: string): void {
  const [, name, value = ""] = /^(size|mode)=(.*)$/.exec(option) ?? [];
  if (name === "size") {
    const size = parseBytes(value);
    if (size.kind === "value") mount.tmpfs.sizeBytes = size.value;
    else cursor.diagnostics.error(cursor, size.reason);
  } else if (name === "mode" && /^[0-7]+$/.test(value)) mount.tmpfs.mode = Number.parseInt(value, 8);
  else if (option === "ro") mount.readOnly = true;
  else
    cursor.diagnostics.warnIgnored(
      cursor,
      `the tmpfs option ${JSON.stringify(option)} is not supported yet and is ignored`,
    );
}

function addMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): void {
  const kind = createMountKind(cursor, mount, draft);
  const { mounts } = draft.container;
  draft.origins.set(`task.container.mounts[${mounts.length}]`, cursor);
  mounts.push({ target: normalizeTarget(mount.target), readOnly: mount.readOnly, kind });
}

type MountKind = ServiceDraft["container"]["mounts"][number]["kind"];

function createMountKind(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.type === "tmpfs") return { $case: "tmpfs", value: mount.tmpfs };
  return mount.type === "bind" ? createBindMount(cursor, mount) : createVolumeMount(mount, draft);
}

function createBindMount(cursor: Cursor, mount: MountDraft): MountKind {
  const source = childOf(cursor.node, "source");
  const written = source?.kind === "scalar" ? source.text : mount.source;
  if (written === "") {
    cursor.diagnostics.error(cursor, "the bind mount has no source: set a path on the node");
    return undefined;
  }
  if (!isAbsolute(written)) {
    const message = `${written} resolves to ${mount.source}, which must exist on every node that runs the service`;
    cursor.diagnostics.warn(cursor, message);
  }
  const { propagation, createHostPath, selinux } = mount;
  return { $case: "bind", value: { source: mount.source, propagation, createHostPath, selinux } };
}

function createVolumeMount(mount: MountDraft, { context }: ServiceDraft): MountKind {
  const volume = context.volumes.get(mount.source) ?? VolumeMount.fromPartial({});
  return { $case: "volume", value: { ...volume, noCopy: mount.noCopy } };
}
