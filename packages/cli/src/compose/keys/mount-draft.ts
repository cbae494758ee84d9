import { posix } from "node:path";
import { TmpfsMount, VolumeMount } from "@berth/proto";
import { resolveBindSource } from "../text/parse-mount.js";
import { didYouMean } from "../text/suggest.js";
import type { Cursor } from "../tree/cursor.js";
import type { ServiceDraft } from "./service-draft.js";

export type MountType = "bind" | "volume" | "tmpfs";

/** A mount while it is read, in the words of the long form. */
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

export const PROPAGATIONS = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];

export function newMount(): MountDraft {
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

/** Makes it a mount of the service; reports what it refers to and is not there. */
export function addMount(cursor: Cursor, mount: MountDraft, draft: ServiceDraft): void {
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
