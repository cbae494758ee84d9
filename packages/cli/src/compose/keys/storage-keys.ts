import { posix } from "node:path";
import { TmpfsMount, VolumeMount } from "@berth/proto";
import { applyKeys } from "../apply-keys.js";
import {
  type Cursor,
  readBytes,
  readFlag,
  readInteger,
  readItems,
  readOneOf,
  readOneOrMore,
  readText,
} from "../cursor.js";
import { isPath, parseShortMount, resolveBindSource } from "../parse-mount.js";
import { type KeyTable, rule, type ServiceDraft } from "../service-draft.js";
import { didYouMean } from "../suggest.js";
import { parseBytes } from "../units.js";
import { accept, leaveOut, refuse } from "./not-supported.js";

type MountType = "bind" | "volume" | "tmpfs";

/** A mount while it is read, in the words of the long form. */
interface MountDraft {
  type: MountType | undefined;
  source: string;
  target: string;
  readOnly: boolean;
  propagation: string;
  createHostPath: boolean;
  noCopy: boolean;
  readonly tmpfs: TmpfsMount;
}

const PROPAGATIONS = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];
/** What Docker Desktop made of these does not exist on Linux. */
const CONSISTENCIES = ["cached", "delegated", "consistent"];
const SELINUX_LABELS = ["z", "Z"];

export const STORAGE_KEYS: KeyTable<ServiceDraft> = {
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
  volumes_from: refuse("sharing the mounts of another container"),
  volume_driver: refuse("name the driver under the top-level volumes:"),
};

function newMount(): MountDraft {
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
  const mount: MountDraft = { ...newMount(), type, source, target, createHostPath: true };
  for (const option of options) applyOption(cursor, mount, option);
  return mount;
}

function applyOption(cursor: Cursor, mount: MountDraft, option: string): void {
  if (option === "ro") mount.readOnly = true;
  else if (option === "nocopy") mount.noCopy = true;
  else if (PROPAGATIONS.includes(option)) mount.propagation = option;
  else if (SELINUX_LABELS.includes(option)) {
    cursor.diagnostics.warn(cursor, `not supported yet: SELinux labels; ${option} has no effect`);
  } else if (option !== "rw" && option !== "" && !CONSISTENCIES.includes(option)) {
    cursor.diagnostics.warn(cursor, `unknown option ${JSON.stringify(option)} of a volume has no effect`);
  }
}

function readLongMount(cursor: Cursor): MountDraft | undefined {
  const mount = newMount();
  applyKeys(cursor, MOUNT_KEYS, mount);
  const missing = mount.type === undefined ? "type" : mount.target === "" ? "target" : undefined;
  if (missing === undefined) return mount;
  const said = cursor.node.kind === "map" && cursor.node.entries.has(missing);
  if (!said) cursor.diagnostics.error(cursor, `a volume needs a ${missing}`);
  return undefined;
}

const MOUNT_KEYS: KeyTable<MountDraft> = {
  type: rule(readMountType, (mount, type) => {
    mount.type = type;
  }),
  source: rule(readText, (mount, source) => {
    mount.source = source;
  }),
  target: rule(readText, (mount, target) => {
    mount.target = target;
  }),
  read_only: rule(readFlag, (mount, readOnly) => {
    mount.readOnly = readOnly;
  }),
  consistency: accept(),
  bind: (cursor, mount) => applyKeys(cursor, BIND_KEYS, mount),
  volume: (cursor, mount) => applyKeys(cursor, VOLUME_KEYS, mount),
  tmpfs: (cursor, mount) => applyKeys(cursor, TMPFS_KEYS, mount.tmpfs),
  image: accept(),
};

const BIND_KEYS: KeyTable<MountDraft> = {
  propagation: rule(
    (cursor) => readOneOf(cursor, PROPAGATIONS),
    (mount, propagation) => {
      mount.propagation = propagation;
    },
  ),
  create_host_path: rule(readFlag, (mount, create) => {
    mount.createHostPath = create;
  }),
  selinux: leaveOut("SELinux labels have no effect"),
  recursive: leaveOut("it has no effect"),
};

const VOLUME_KEYS: KeyTable<MountDraft> = {
  nocopy: rule(readFlag, (mount, noCopy) => {
    mount.noCopy = noCopy;
  }),
  labels: leaveOut("labels of a volume go under the top-level volumes:"),
  subpath: refuse("mounting a folder of a volume"),
};

const TMPFS_KEYS: KeyTable<TmpfsMount> = {
  size: rule(readBytes, (tmpfs, bytes) => {
    tmpfs.sizeBytes = bytes;
  }),
  mode: rule(
    (cursor) => readInteger(cursor, { min: 0, max: 0o7777 }),
    (tmpfs, mode) => {
      tmpfs.mode = mode;
    },
  ),
};

function readMountType(cursor: Cursor): MountType | undefined {
  const type = readOneOf(cursor, ["bind", "volume", "tmpfs", "npipe", "cluster", "image"]);
  if (type === undefined || type === "bind" || type === "volume" || type === "tmpfs") return type;
  cursor.diagnostics.error(cursor, `not supported yet: volumes of type ${type}`);
  return undefined;
}

/** `/run:size=64m,mode=1777`. */
function readTmpfs(cursor: Cursor): MountDraft | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const [target = "", options = ""] = text.split(":");
  const mount: MountDraft = { ...newMount(), type: "tmpfs", target };
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
    cursor.diagnostics.warn(cursor, `not supported yet: ${JSON.stringify(option)} of a tmpfs has no effect`);
}

function addMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): void {
  const kind = mountKind(cursor, mount, draft);
  if (kind === undefined) return;
  const { mounts } = draft.container;
  draft.origins.set(`task.container.mounts[${mounts.length}]`, cursor);
  mounts.push({ target: cleanTarget(mount.target), readOnly: mount.readOnly, kind });
}

/** As Compose does: `/data/../x/` is `/x`, so that the same place is not mounted twice. */
function cleanTarget(target: string): string {
  const path = posix.normalize(target).replace(/^\/\//, "/");
  return path.length > 1 ? path.replace(/\/$/, "") : path;
}

type MountKind = ServiceDraft["container"]["mounts"][number]["kind"];

function mountKind(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.type === "tmpfs") return { $case: "tmpfs", value: mount.tmpfs };
  return mount.type === "bind" ? bindMount(cursor, mount, draft) : volumeMount(cursor, mount, draft);
}

function bindMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): MountKind {
  if (mount.source === "") {
    cursor.diagnostics.error(cursor, "a bind needs a source: a path on the node");
    return undefined;
  }
  const { path, isLocal } = resolveBindSource(mount.source, draft.context.project);
  if (isLocal) {
    const message = `${mount.source} is ${path} on whichever node runs the task: it must be there on each of them`;
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
    didYouMean(mount.source, volumes.keys()) || `. Name it there, or write ./${mount.source} for a folder`;
  const message = `there is no volume ${JSON.stringify(mount.source)} under the top-level volumes:${hint}`;
  cursor.diagnostics.error(cursor, message);
  return undefined;
}
