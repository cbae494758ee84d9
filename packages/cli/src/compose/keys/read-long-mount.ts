import type { TmpfsMount } from "@berth/proto";
import { type Cursor, readBytes, readFlag, readInteger, readOneOf, readText } from "../tree/cursor.js";
import { applyKeys } from "../tree/key-table.js";
import { type MountDraft, type MountType, newMount, PROPAGATIONS } from "./mount-draft.js";
import { ignoreKey, ignoreWithWarning, rejectKey } from "./not-supported.js";
import { type KeyTable, rule } from "./service-draft.js";

/** `{ type: volume, source: data, target: /var/lib/data }` */
export function readLongMount(cursor: Cursor): MountDraft | undefined {
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
  consistency: ignoreKey(),
  bind: (cursor, mount) => applyKeys(cursor, BIND_KEYS, mount),
  volume: (cursor, mount) => applyKeys(cursor, VOLUME_KEYS, mount),
  tmpfs: (cursor, mount) => applyKeys(cursor, TMPFS_KEYS, mount.tmpfs),
  image: ignoreKey(),
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
  selinux: ignoreWithWarning("SELinux labels have no effect"),
  recursive: ignoreWithWarning("it has no effect"),
};

const VOLUME_KEYS: KeyTable<MountDraft> = {
  nocopy: rule(readFlag, (mount, noCopy) => {
    mount.noCopy = noCopy;
  }),
  labels: ignoreWithWarning("labels of a volume go under the top-level volumes:"),
  subpath: rejectKey("mounting a folder of a volume"),
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
