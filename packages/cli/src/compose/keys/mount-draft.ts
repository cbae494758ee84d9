import { TmpfsMount } from "@berth/proto";
import { PROPAGATIONS } from "../text/short-mount.js";
import { type Cursor, readBytes, readOneOf, readText } from "../tree/cursor.js";
import { rule } from "../tree/key-table.js";

export type MountType = "bind" | "volume" | "tmpfs" | "image";

/** A mount while its properties are read from a Compose file or the `--mount-add` flag. */
export interface MountDraft {
  type: MountType | undefined;
  source: string;
  target: string;
  readOnly: boolean;
  propagation: string;
  createHostPath: boolean;
  selinux: string;
  recursive: string;
  noCopy: boolean;
  /** Directory of the volume or image to mount. */
  subpath: string;
  /** Labels of a volume that is created for the mount. */
  volumeLabels: Readonly<Record<string, string>>;
  readonly tmpfs: TmpfsMount;
}

/** Creates a mount with default properties. */
export function newMountDraft(): MountDraft {
  return {
    type: undefined,
    source: "",
    target: "",
    readOnly: false,
    propagation: "",
    createHostPath: false,
    selinux: "",
    recursive: "",
    noCopy: false,
    subpath: "",
    volumeLabels: {},
    tmpfs: TmpfsMount.fromPartial({}),
  };
}

/**
 * Returns the rules for all properties of a mount. Compose files and the `--mount-add` flag use different keys for these
 * properties, and accept different forms of booleans.
 */
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

function readMountType(cursor: Cursor): MountType | undefined {
  const type = readOneOf(cursor, ["bind", "volume", "tmpfs", "npipe", "cluster", "image"]);
  switch (type) {
    case "npipe":
      cursor.diagnostics.error(cursor, "named pipes exist on Windows only, and berth runs Linux containers");
      return undefined;
    case "cluster":
      cursor.diagnostics.error(
        cursor,
        "cluster volumes need the CSI plugins of Docker Swarm; use a volume whose driver stores it outside of the node, such as NFS",
      );
      return undefined;
    default:
      return type;
  }
}

function readPropagation(cursor: Cursor): string | undefined {
  return readOneOf(cursor, PROPAGATIONS);
}
