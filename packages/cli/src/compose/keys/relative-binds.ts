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
  /** The source as the file has it. */
  readonly written: string;
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
  const { relativeBinds, isShipping, container, spec } = draft;
  if (!isShipping) {
    for (const bind of relativeBinds) warnAboutNodes(bind);
    return [];
  }
  return relativeBinds.map(({ index, cursor, mount, written }) => {
    warnAboutOptions(cursor, mount);
    const shipped = ShippedMount.fromPartial({
      digest: UNKNOWN_DIGEST,
      source: written,
      selinux: mount.selinux,
    });
    const sourceMount = container.mounts[index];
    if (sourceMount !== undefined) {
      container.mounts[index] = { ...sourceMount, kind: { $case: "shipped", value: shipped } };
    }
    return { service: spec.name, mountIndex: index, path: mount.source };
  });
}

function warnAboutNodes({ cursor, mount, written }: RelativeBind): void {
  const path = written === "" ? "the empty source" : written;
  const message = `${path} resolves to ${mount.source}, which must exist on every node that runs the service: to send it to them, add x-berth: { ship: true } to the service`;
  cursor.diagnostics.warn(cursor, message);
}

/** A copy has no mounts below it. */
function warnAboutOptions(cursor: Cursor, { propagation, recursive }: MountDraft): void {
  if (propagation === "" && recursive === "") return;
  cursor.diagnostics.warnIgnored(
    cursor,
    "ignored: propagation and recursive of a mount that is sent to nodes",
  );
}
