import { VolumeMount } from "@berth/proto";
import { isPath, parseShortMount, resolveBindSource } from "../text/short-mount.js";
import { didYouMean } from "../text/suggest.js";
import { parseBytes } from "../text/units.js";
import { type Cursor, readFlag, readInteger, readItems, readOneOrMore, readText } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { type MountDraft, mountRules, newMountDraft, normalizeTarget, PROPAGATIONS } from "./mount-draft.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreKey, ignoreWithWarning, rejectKey } from "./unsupported-keys.js";

/** Reads the mounts of a service: `volumes` in the short and the long form, and `tmpfs`. */
export const MOUNT_KEYS: KeyTable<ServiceDraft> = {
  volumes: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const mount = item.node.kind === "map" ? readLongMount(item) : readShortMount(item);
      if (mount !== undefined) addMount(item, mount, draft);
    }
  },
  tmpfs: (cursor, draft) => {
    for (const item of readOneOrMore(cursor) ?? []) {
      const mount = readTmpfs(item);
      if (mount !== undefined) addMount(item, mount, draft);
    }
  },
  volumes_from: rejectKey("sharing the mounts of another container is not supported yet"),
  volume_driver: rejectKey(
    "volume_driver is not supported yet: set the driver of the volume at the top level",
  ),
};

const RULES = mountRules(readFlag);

const LONG_FORM_KEYS: KeyTable<MountDraft> = {
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
  selinux: ignoreWithWarning("SELinux labels are not supported yet and are ignored"),
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

/** Reads `{ type: volume, source: data, target: /var/lib/data }`. */
function readLongMount(cursor: Cursor): MountDraft | undefined {
  const mount = newMountDraft();
  applyKeys(cursor, LONG_FORM_KEYS, mount);
  if (mount.type !== undefined && mount.target !== "") return mount;
  const missing = mount.type === undefined ? "type" : "target";
  const isReported = cursor.node.kind === "map" && cursor.node.entries.has(missing);
  if (!isReported) cursor.diagnostics.error(cursor, `the volume has no ${missing}`);
  return undefined;
}

/** Options of Docker Desktop, which have no effect on Linux. */
const CONSISTENCIES = ["cached", "delegated", "consistent"];
const SELINUX_LABELS = ["z", "Z"];
const SHORT_OPTIONS = ["ro", "rw", "nocopy", ...PROPAGATIONS];

/** Reads `data:/var/lib/data:ro`. */
function readShortMount(cursor: Cursor): MountDraft | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const parsed = parseShortMount(text);
  if (parsed.kind === "invalid") {
    cursor.diagnostics.error(cursor, parsed.reason);
    return undefined;
  }
  const { source, target, options } = parsed.value;
  const type = isPath(source) ? "bind" : "volume";
  const mount: MountDraft = { ...newMountDraft(), type, source, target, createHostPath: true };
  for (const option of options) applyShortOption(cursor, mount, option);
  return mount;
}

function applyShortOption(cursor: Cursor, mount: MountDraft, option: string): void {
  if (option === "ro") mount.readOnly = true;
  else if (option === "nocopy") mount.noCopy = true;
  else if (PROPAGATIONS.includes(option)) mount.propagation = option;
  else if (SELINUX_LABELS.includes(option)) {
    cursor.diagnostics.warn(cursor, `SELinux labels are not supported yet: ${option} is ignored`);
  } else if (option !== "rw" && option !== "" && !CONSISTENCIES.includes(option)) {
    const hint = didYouMean(option, SHORT_OPTIONS);
    cursor.diagnostics.warn(cursor, `unknown volume option ${JSON.stringify(option)} is ignored${hint}`);
  }
}

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
    cursor.diagnostics.warn(
      cursor,
      `the tmpfs option ${JSON.stringify(option)} is not supported yet and is ignored`,
    );
}

/** Adds the mount to the service. Reports an error when its source does not exist. */
function addMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): void {
  const kind = createMountKind(cursor, mount, draft);
  if (kind === undefined) return;
  const { mounts } = draft.container;
  draft.origins.set(`task.container.mounts[${mounts.length}]`, cursor);
  mounts.push({ target: normalizeTarget(mount.target), readOnly: mount.readOnly, kind });
}

type MountKind = ServiceDraft["container"]["mounts"][number]["kind"];

function createMountKind(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.type === "tmpfs") return { $case: "tmpfs", value: mount.tmpfs };
  return mount.type === "bind"
    ? createBindMount(cursor, mount, draft)
    : createVolumeMount(cursor, mount, draft);
}

function createBindMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.source === "") {
    cursor.diagnostics.error(cursor, "the bind mount has no source: set a path on the node");
    return undefined;
  }
  const { path, isLocal } = resolveBindSource(mount.source, draft.context.project);
  if (isLocal) {
    const message = `${mount.source} resolves to ${path}, which must exist on every node that runs the service`;
    cursor.diagnostics.warn(cursor, message);
  }
  const { propagation, createHostPath } = mount;
  return { $case: "bind", value: { source: path, propagation, createHostPath } };
}

function createVolumeMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.source === "")
    return { $case: "volume", value: VolumeMount.fromPartial({ noCopy: mount.noCopy }) };
  const { volumes } = draft.context;
  const volume = volumes.get(mount.source);
  if (volume !== undefined) return { $case: "volume", value: { ...volume, noCopy: mount.noCopy } };
  const hint =
    didYouMean(mount.source, volumes.keys()) ||
    `: declare it under the top-level volumes, or use ./${mount.source} for a directory`;
  const message = `undefined volume ${JSON.stringify(mount.source)}`;
  cursor.diagnostics.error(cursor, `${message}${hint}`);
  return undefined;
}
