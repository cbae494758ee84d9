import { ShippedMount } from "@berth/proto";
import type { Cursor } from "../tree/cursor.js";
import type { MountDraft } from "./mount-draft.js";
import type { ServiceDraft } from "./service-draft.js";

/** A bind mount whose source is relative to the Compose file: a path on the client's machine. */
export interface RelativeBind {
  /** Index of the mount in the container. */
  readonly index: number;
  readonly cursor: Cursor;
  readonly mount: MountDraft;
  /** The source as it is written in the file. */
  readonly writtenSource: string;
}

/** A file or directory of the client's machine to send to nodes. */
export interface Shipment {
  /** Name of the service in the cluster. */
  readonly service: string;
  /** Index of the mount in the container. Its digest is not known yet. */
  readonly mountIndex: number;
  /** Absolute path. */
  readonly path: string;
}

/** Digest of an archive until its files are read. */
export const UNKNOWN_DIGEST = `sha256:${"0".repeat(64)}`;

/**
 * Turns the relative bind mounts of a service into shipped mounts when the service ships them. Otherwise, warns that
 * the paths must exist on the nodes. Runs after all keys.
 */
export function resolveRelativeBinds(draft: ServiceDraft): readonly Shipment[] {
  const { relativeBinds, shipsBindMounts, container, spec } = draft;
  if (!shipsBindMounts) {
    for (const bind of relativeBinds) warnAboutNodePath(bind);
    return [];
  }
  return relativeBinds.map(({ index, cursor, mount, writtenSource }) => {
    warnAboutOptions(cursor, mount);
    const shipped = ShippedMount.fromPartial({
      digest: UNKNOWN_DIGEST,
      source: writtenSource,
      selinux: mount.selinux,
    });
    const sourceMount = container.mounts[index];
    if (sourceMount !== undefined) {
      container.mounts[index] = { ...sourceMount, kind: { $case: "shipped", value: shipped } };
    }
    return { service: spec.name, mountIndex: index, path: mount.source };
  });
}

function warnAboutNodePath({ cursor, mount, writtenSource }: RelativeBind): void {
  const path = writtenSource === "" ? "the empty source" : writtenSource;
  const message = `${path} resolves to ${mount.source}, which must exist on every node that runs the service; to send it to them, add x-berth: { ship: true } to the service`;
  cursor.diagnostics.warn(cursor, message);
}

/** Warns about options without an effect: a copy has no mounts below it. */
function warnAboutOptions(cursor: Cursor, { propagation, recursive }: MountDraft): void {
  if (propagation === "" && recursive === "") return;
  cursor.diagnostics.warnIgnored(
    cursor,
    "ignored: propagation and recursive of a mount that is sent to nodes",
  );
}
