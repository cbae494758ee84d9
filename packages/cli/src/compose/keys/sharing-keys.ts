import { Sharing, scopedName } from "@berth/proto";
import { didYouMean } from "../text/suggest.js";
import { type Cursor, readItems, readText } from "../tree/cursor.js";
import type { ServiceDraft } from "./service-draft.js";

// Readers for the keys by which containers share namespaces and mounts with containers of other services.

const CONTAINER_PREFIX = "container:";
/** Modes of `volumes_from` items. */
const MOUNT_MODES = ["ro", "rw"];

/** Returns whether a mode names another container: `service:NAME` or `container:NAME`. */
export function isSharedMode({ node }: Cursor): boolean {
  return node.kind === "scalar" && /^(?:service|container):/.test(String(node.value));
}

/** Reads `service:NAME`, or `container:NAME` with the container name of a service. */
export function shareNamespace(kind: "network" | "pid" | "ipc", cursor: Cursor, draft: ServiceDraft): void {
  const text = readText(cursor) ?? "";
  const name = text.slice(text.indexOf(":") + 1);
  const service = text.startsWith(CONTAINER_PREFIX)
    ? resolveContainer(name, cursor, draft)
    : resolveService(name, draft);
  if (service === undefined) return;
  ensureSharing(draft)[kind] = service;
  draft.origins.set(`task.container.sharing.${kind}`, cursor);
}

/** Reads `volumes_from`: `SERVICE[:ro|rw]`, or `container:NAME[:ro|rw]` with the container name of a service. */
export function readVolumesFrom(cursor: Cursor, draft: ServiceDraft): void {
  for (const item of readItems(cursor) ?? []) {
    const text = readText(item);
    if (text === undefined) continue;
    const isContainer = text.startsWith(CONTAINER_PREFIX);
    const reference = isContainer ? text.slice(CONTAINER_PREFIX.length) : text;
    const [name = "", mode = "rw", ...rest] = reference.split(":");
    if (rest.length > 0 || !MOUNT_MODES.includes(mode)) {
      item.diagnostics.error(item, `${JSON.stringify(text)} is not SERVICE, SERVICE:ro or SERVICE:rw`);
      continue;
    }
    const service = isContainer ? resolveContainer(name, item, draft) : resolveService(name, draft);
    if (service === undefined) continue;
    const { mounts } = ensureSharing(draft);
    draft.origins.set(`task.container.sharing.mounts[${mounts.length}]`, item);
    mounts.push({ service, readOnly: mode === "ro" });
  }
}

/** Reads `x-berth.beside`: the service beside whose tasks the tasks of this service run. */
export function readBeside(cursor: Cursor, draft: ServiceDraft): void {
  const name = readText(cursor);
  if (name === undefined) return;
  const service = resolveService(name, draft);
  if (service === undefined) {
    const hint = didYouMean(name, draft.context.serviceNames);
    cursor.diagnostics.error(cursor, `undefined service ${JSON.stringify(name)}${hint}`);
    return;
  }
  draft.placement.beside = service;
  draft.origins.set("placement.beside", cursor);
}

/** Returns the full name of the service with a container name. Reports a container that is not part of the stack. */
function resolveContainer(name: string, cursor: Cursor, { context }: ServiceDraft): string | undefined {
  const service = context.serviceByContainer.get(name);
  if (service !== undefined) return scopedName(context.stack, service);
  const hint = didYouMean(name, context.serviceByContainer.keys());
  const message = `container ${JSON.stringify(name)} does not belong to the stack, and exists on one node only; use service:NAME${hint}`;
  cursor.diagnostics.error(cursor, message);
  return undefined;
}

function ensureSharing({ container }: ServiceDraft): Sharing {
  container.sharing ??= Sharing.fromPartial({});
  return container.sharing;
}

/** Returns the full name of a service in the file. `checkProject` has reported undefined services. */
function resolveService(name: string, { context }: ServiceDraft): string | undefined {
  return context.serviceNames.has(name) ? scopedName(context.stack, name) : undefined;
}
