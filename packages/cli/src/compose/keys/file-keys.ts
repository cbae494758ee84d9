import { FileKind, FileMount, fileKindName } from "@berth/proto";
import { resolveFileTarget } from "../text/file-target.js";
import { didYouMean } from "../text/suggest.js";
import { parsePermissionBits } from "../text/units.js";
import { type Cursor, keyPlace, readFields, readItems, readText, reportWrongType } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { isNull } from "../tree/node.js";
import { recordOrigins } from "./record-origins.js";
import type { ServiceDraft } from "./service-draft.js";
import type { StackFile } from "./stack-context.js";

/** Reads the secrets and configs of a service. */
export const FILE_KEYS: KeyTable<ServiceDraft> = {
  secrets: (cursor, draft) => readMounts(cursor, draft, FileKind.SECRET),
  configs: (cursor, draft) => readMounts(cursor, draft, FileKind.CONFIG),
};

/** A mount of a secret or config while its properties are read from a Compose file or a flag. */
export interface FileMountDraft {
  source: string;
  target: string | undefined;
  uid: string;
  gid: string;
  mode: number | undefined;
  /** Name of the environment variable; empty for a file. */
  env: string;
}

/** Creates a mount with default properties. */
export function newFileMountDraft(): FileMountDraft {
  return { source: "", target: undefined, uid: "", gid: "", mode: undefined, env: "" };
}

/** Rules for the properties of a mount. */
export const FILE_MOUNT_RULES = {
  source: rule(readText, (mount: FileMountDraft, source) => {
    mount.source = source;
  }),
  target: rule(readText, (mount: FileMountDraft, target) => {
    mount.target = target;
  }),
  uid: rule(readText, (mount: FileMountDraft, uid) => {
    mount.uid = uid;
  }),
  gid: rule(readText, (mount: FileMountDraft, gid) => {
    mount.gid = gid;
  }),
  mode: rule(readMode, (mount: FileMountDraft, mode) => {
    mount.mode = mode;
  }),
};

const FILE_MOUNT_FIELDS: KeyTable<FileMountDraft> = FILE_MOUNT_RULES;

/** Converts a draft to the mount of a spec. By default, the target is the name of the source, as in Docker. */
export function toFileMount(kind: FileKind, name: string, draft: FileMountDraft): FileMount {
  const { source, target, uid, gid, mode, env } = draft;
  return FileMount.fromPartial({
    kind,
    name,
    target: env === "" ? resolveFileTarget(kind, target ?? source) : (target ?? ""),
    uid,
    gid,
    mode,
    env,
  });
}

/** Reads the secrets that a service gets as environment variables. */
export function readEnvSecrets(cursor: Cursor, draft: ServiceDraft): void {
  const { container, context } = draft;
  const secretFields = [...(readFields(cursor) ?? [])];
  for (const [variable, field] of secretFields) {
    // An unreadable value has already been reported.
    if (isNull(field.node)) continue;
    const source = readText(field);
    const file = source && findSecret(field, source, context.secrets);
    if (source === undefined || !file) continue;
    recordOrigins(draft, `task.container.files[${container.files.length}]`, field);
    const mount = { ...newFileMountDraft(), source, env: variable };
    container.files.push(toFileMount(FileKind.SECRET, file.name, mount));
  }
  if (secretFields.length === 0) return;
  cursor.diagnostics.warn(
    keyPlace(cursor),
    "docker inspect shows these secrets, and Docker stores them on the hosts' disks; use secrets if the program can read files",
  );
}

function readMounts(cursor: Cursor, draft: ServiceDraft, kind: FileKind): void {
  const { container, context, origins } = draft;
  const declaredFiles = kind === FileKind.SECRET ? context.secrets : context.configs;
  const byTarget = new Map(container.files.map((file) => [file.target, file]));
  origins.set("task.container.files", cursor);
  for (const item of readItems(cursor) ?? []) {
    const mount = newFileMountDraft();
    applyKeys(item, FILE_MOUNT_FIELDS, mount);
    const file = declaredFiles.get(mount.source);
    // A reference to an undeclared file has already been reported.
    if (file === undefined) continue;
    const fileMount = toFileMount(kind, file.name, mount);
    const otherMount = byTarget.get(fileMount.target);
    if (otherMount !== undefined) {
      reportSameTarget(item, fileMount, otherMount);
      continue;
    }
    byTarget.set(fileMount.target, fileMount);
    recordOrigins(draft, `task.container.files[${container.files.length}]`, item);
    container.files.push(fileMount);
  }
}

/** Reports two files with the same target. As in Compose, a repeated item is not an error. */
function reportSameTarget(cursor: Cursor, file: FileMount, other: FileMount): void {
  if (file.kind === other.kind && file.name === other.name) return;
  const message = `the ${fileKindName(other.kind)} ${other.name} has the same target ${other.target}`;
  cursor.diagnostics.error(cursor, message);
}

function findSecret(
  cursor: Cursor,
  source: string,
  secrets: ReadonlyMap<string, StackFile>,
): StackFile | undefined {
  const secret = secrets.get(source);
  if (secret !== undefined) return secret;
  const hint = didYouMean(source, secrets.keys()) || "; declare it under the top-level secrets";
  cursor.diagnostics.error(cursor, `undefined secret ${JSON.stringify(source)}${hint}`);
  return undefined;
}

/** Reads permission bits as octal text, as in `chmod`. */
function readMode(cursor: Cursor): number | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  return parsePermissionBits(text) ?? reportWrongType(cursor, "permission bits such as 0440");
}
