import { posix } from "node:path";
import { TmpfsMount, VolumeMount } from "@berth/proto";
import { isPath, parseShortMount, resolveBindSource } from "../text/short-mount.js";
import { didYouMean } from "../text/suggest.js";
import { parseBytes } from "../text/units.js";
import {
  type Cursor,
  readBytes,
  readFlag,
  readInteger,
  readItems,
  readOneOf,
  readOneOrMore,
  readText,
} from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreKey, ignoreWithWarning, rejectKey } from "./unsupported-keys.js";

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
  volumes_from: rejectKey("sharing the mounts of another container"),
  volume_driver: rejectKey("volume_driver; set the driver under the top-level volumes:"),
};

export type MountType = "bind" | "volume" | "tmpfs";

/** A mount while its keys are read. */
export interface MountDraft {
  type: MountType | undefined;
  source: string;
  target: string;
  readOnly: boolean;
  propagation: string;
  createHostPath: boolean;
  noCopy: boolean;
  readonly tmpfs: TmpfsMount;
}

export function newMountDraft(): MountDraft {
  return {
    type: undefined,
    source: "",
    target: "",
    readOnly: false,
    propagation: "",
    createHostPath: false,
    noCopy: false,
    tmpfs: TmpfsMount.fromPartial({}),
  };
}

/** The rules of all properties of a mount, for the long form in Compose files and for `--mount-add`. */
export function mountRules(readBoolean: (cursor: Cursor) => boolean | undefined) {
  return {
    type: rule(readMountType, (mount: MountDraft, type) => {
      mount.type = type;
    }),
    source: rule(readText, (mount: MountDraft, source) => {
      mount.source = source;
    }),
    target: rule(readText, (mount: MountDraft, target) => {
      mount.target = target;
    }),
    readOnly: rule(readBoolean, (mount: MountDraft, readOnly) => {
      mount.readOnly = readOnly;
    }),
    propagation: rule(readPropagation, (mount: MountDraft, propagation) => {
      mount.propagation = propagation;
    }),
    createHostPath: rule(readBoolean, (mount: MountDraft, create) => {
      mount.createHostPath = create;
    }),
    noCopy: rule(readBoolean, (mount: MountDraft, noCopy) => {
      mount.noCopy = noCopy;
    }),
    tmpfsSize: rule(readBytes, (mount: MountDraft, bytes) => {
      mount.tmpfs.sizeBytes = bytes;
    }),
  };
}

/** Normalizes a target path as Compose does: `/data/../x/` is `/x`, so that no path is mounted twice. */
export function normalizeTarget(target: string): string {
  const path = posix.normalize(target).replace(/^\/\//, "/");
  return path.length > 1 ? path.replace(/\/$/, "") : path;
}

const PROPAGATIONS = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];
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
  selinux: ignoreWithWarning("SELinux labels are ignored"),
  recursive: ignoreWithWarning("recursive is ignored"),
};

const VOLUME_KEYS: KeyTable<MountDraft> = {
  nocopy: RULES.noCopy,
  labels: ignoreWithWarning("the labels are ignored; set them under the top-level volumes:"),
  subpath: rejectKey("mounting a subdirectory of a volume"),
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
  const missing = mount.type === undefined ? "type" : mount.target === "" ? "target" : undefined;
  if (missing === undefined) return mount;
  const isReported = cursor.node.kind === "map" && cursor.node.entries.has(missing);
  if (!isReported) cursor.diagnostics.error(cursor, `the volume has no ${missing}`);
  return undefined;
}

function readMountType(cursor: Cursor): MountType | undefined {
  const type = readOneOf(cursor, ["bind", "volume", "tmpfs", "npipe", "cluster", "image"]);
  if (type === undefined || type === "bind" || type === "volume" || type === "tmpfs") return type;
  cursor.diagnostics.error(cursor, `not supported yet: volumes of type ${type}`);
  return undefined;
}

function readPropagation(cursor: Cursor): string | undefined {
  return readOneOf(cursor, PROPAGATIONS);
}

/** Options for Docker Desktop. They have no effect on Linux. */
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
  const { source, target, options } = parsed.valid;
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
    cursor.diagnostics.warn(cursor, `not supported yet: SELinux labels; ${option} is ignored`);
  } else if (option !== "rw" && option !== "" && !CONSISTENCIES.includes(option)) {
    const hint = didYouMean(option, SHORT_OPTIONS);
    cursor.diagnostics.warn(cursor, `the unknown volume option ${JSON.stringify(option)} is ignored${hint}`);
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
    if (size.kind === "value") mount.tmpfs.sizeBytes = size.valid;
    else cursor.diagnostics.error(cursor, size.reason);
  } else if (name === "mode" && /^[0-7]+$/.test(value)) mount.tmpfs.mode = Number.parseInt(value, 8);
  else if (option === "ro") mount.readOnly = true;
  else
    cursor.diagnostics.warn(
      cursor,
      `not supported yet: the tmpfs option ${JSON.stringify(option)} is ignored`,
    );
}

/** Adds the mount to the service, or reports that the source it refers to does not exist. */
function addMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): void {
  const kind = mountKind(cursor, mount, draft);
  if (kind === undefined) return;
  const { mounts } = draft.container;
  draft.origins.set(`task.container.mounts[${mounts.length}]`, cursor);
  mounts.push({ target: normalizeTarget(mount.target), readOnly: mount.readOnly, kind });
}

type MountKind = ServiceDraft["container"]["mounts"][number]["kind"];

function mountKind(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.type === "tmpfs") return { $case: "tmpfs", value: mount.tmpfs };
  return mount.type === "bind" ? bindMount(cursor, mount, draft) : volumeMount(cursor, mount, draft);
}

function bindMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
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

function volumeMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.source === "")
    return { $case: "volume", value: VolumeMount.fromPartial({ noCopy: mount.noCopy }) };
  const { volumes } = draft.context;
  const volume = volumes.get(mount.source);
  if (volume !== undefined) return { $case: "volume", value: { ...volume, noCopy: mount.noCopy } };
  const hint =
    didYouMean(mount.source, volumes.keys()) ||
    `: declare it there, or use ./${mount.source} for a directory`;
  const message = `no volume ${JSON.stringify(mount.source)} under the top-level volumes`;
  cursor.diagnostics.error(cursor, `${message}${hint}`);
  return undefined;
}
