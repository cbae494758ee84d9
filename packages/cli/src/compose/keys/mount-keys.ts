import { isAbsolute } from "node:path";
import { assertNever, VolumeMount } from "@berth/proto";
import { normalizeTarget } from "../text/short-mount.js";
import { parseTmpfs } from "../text/tmpfs-options.js";
import { type Cursor, readFlag, readInteger, readItems, readText, readTextMap } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { childOf } from "../tree/node.js";
import { type MountDraft, mountRules, newMountDraft } from "./mount-draft.js";
import type { ServiceDraft } from "./service-draft.js";
import { readVolumesFrom } from "./sharing-keys.js";
import { ignoreKey } from "./unsupported-keys.js";

/** Reads the mounts of a service: `volumes` and `tmpfs`. */
export const MOUNT_KEYS: KeyTable<ServiceDraft> = {
  // Must precede `volumes`, whose rule uses the driver.
  volume_driver: rule(readText, (draft, driver) => {
    draft.volumeDriver = driver;
  }),
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
  volumes_from: readVolumesFrom,
};

const MOUNT_RULES = mountRules(readFlag);

const SUBPATH_RULE = rule(readText, (mount: MountDraft, subpath) => {
  mount.subpath = subpath;
});

const MOUNT_FIELDS: KeyTable<MountDraft> = {
  type: MOUNT_RULES.type,
  source: MOUNT_RULES.source,
  target: MOUNT_RULES.target,
  read_only: MOUNT_RULES.readOnly,
  consistency: ignoreKey(),
  bind: (cursor, mount) => applyKeys(cursor, BIND_KEYS, mount),
  volume: (cursor, mount) => applyKeys(cursor, VOLUME_KEYS, mount),
  tmpfs: (cursor, mount) => applyKeys(cursor, TMPFS_KEYS, mount),
  image: (cursor, mount) => applyKeys(cursor, IMAGE_KEYS, mount),
};

const BIND_KEYS: KeyTable<MountDraft> = {
  propagation: MOUNT_RULES.propagation,
  create_host_path: MOUNT_RULES.createHostPath,
  selinux: rule(readText, (mount, label) => {
    mount.selinux = label;
  }),
  recursive: rule(readText, (mount, recursive) => {
    mount.recursive = recursive === "enabled" ? "" : recursive;
  }),
};

const VOLUME_KEYS: KeyTable<MountDraft> = {
  nocopy: MOUNT_RULES.noCopy,
  labels: rule(readTextMap, (mount, labels) => {
    mount.volumeLabels = labels;
  }),
  subpath: SUBPATH_RULE,
};

const IMAGE_KEYS: KeyTable<MountDraft> = { subpath: SUBPATH_RULE };

const TMPFS_KEYS: KeyTable<MountDraft> = {
  size: MOUNT_RULES.tmpfsSize,
  mode: rule(
    (cursor) => readInteger(cursor, { min: 0, max: 0o7777 }),
    (mount, mode) => {
      mount.tmpfs.mode = mode;
    },
  ),
};

/** Reads `/run:size=64m,mode=1777,exec`. */
function readTmpfs(cursor: Cursor): MountDraft | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const parsed = parseTmpfs(text);
  if (parsed.kind === "invalid") {
    cursor.diagnostics.error(cursor, parsed.reason);
    return undefined;
  }
  const { target, readOnly, mount: tmpfs } = parsed.value;
  return { ...newMountDraft(), type: "tmpfs", target, readOnly, tmpfs };
}

function addMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): void {
  const kind = createMountKind(cursor, mount, draft);
  const { mounts } = draft.container;
  draft.origins.set(`task.container.mounts[${mounts.length}]`, cursor);
  mounts.push({ target: normalizeTarget(mount.target), readOnly: mount.readOnly, kind });
}

type MountKind = ServiceDraft["container"]["mounts"][number]["kind"];

function createMountKind(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  switch (mount.type) {
    case "tmpfs":
      return { $case: "tmpfs", value: mount.tmpfs };
    case "image":
      return { $case: "image", value: { image: mount.source, subpath: mount.subpath } };
    case "bind":
      return createBindMount(cursor, mount, draft);
    case "volume":
    case undefined:
      return createVolumeMount(mount, draft);
    default:
      return assertNever(mount.type);
  }
}

function createBindMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  const source = childOf(cursor.node, "source");
  const sourceText = source?.kind === "scalar" ? source.text : mount.source;
  const index = draft.container.mounts.length;
  if (!isAbsolute(sourceText)) draft.relativeBinds.push({ index, cursor, mount, writtenSource: sourceText });
  const { propagation, createHostPath, selinux, recursive } = mount;
  return { $case: "bind", value: { source: mount.source, propagation, createHostPath, selinux, recursive } };
}

function createVolumeMount(mount: MountDraft, { context, volumeDriver }: ServiceDraft): MountKind {
  const volume = context.volumes.get(mount.source) ?? VolumeMount.fromPartial({});
  const { noCopy, subpath } = mount;
  const labels = { ...volume.labels, ...mount.volumeLabels };
  const driver = volume.driver || volumeDriver;
  return { $case: "volume", value: { ...volume, driver, labels, noCopy, subpath } };
}
