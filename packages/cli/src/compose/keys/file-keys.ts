import { FileKind, FileMount, fileKindName } from "@berth/proto";
import { resolveFileTarget } from "../text/file-target.js";
import { didYouMean } from "../text/suggest.js";
import { type Cursor, keyPlace, readFields, readItems, readText, reportWrongType } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { recordOrigins } from "./record-origins.js";
import type { ServiceDraft } from "./service-draft.js";
import type { StackFile } from "./stack-context.js";

const OCTAL = /^(?:0o)?[0-7]{1,6}$/;

/** Reads the secrets and configs of a service, in the short and the long form. */
export const FILE_KEYS: KeyTable<ServiceDraft> = {
  secrets: (cursor, draft) => readMounts(cursor, draft, FileKind.SECRET),
  configs: (cursor, draft) => readMounts(cursor, draft, FileKind.CONFIG),
};

/** A secret or config of a service while its properties are read, from a Compose file or from a flag. */
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

const LONG_FORM_KEYS: KeyTable<FileMountDraft> = FILE_MOUNT_RULES;

/** Returns the mount in a spec. By default, the target is the name that the mount uses, as in Docker. */
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

/** Reads the secrets of a service that are environment variables. */
export function readEnvSecrets(cursor: Cursor, draft: ServiceDraft): void {
  const { container, context } = draft;
  for (const [variable, field] of readFields(cursor) ?? []) {
    const source = readText(field);
    const file = source && findFile(field, source, { kind: FileKind.SECRET, known: context.secrets });
    if (source === undefined || !file) continue;
    recordOrigins(draft, `task.container.files[${container.files.length}]`, field);
    const mount = { ...newFileMountDraft(), source, env: variable };
    container.files.push(toFileMount(FileKind.SECRET, file.name, mount));
  }
  cursor.diagnostics.warn(
    keyPlace(cursor),
    "docker inspect shows these secrets, and Docker stores them on the hosts' disks: use secrets if the program can read files",
  );
}

function readMounts(cursor: Cursor, draft: ServiceDraft, kind: FileKind): void {
  const { container, context, origins } = draft;
  const known = kind === FileKind.SECRET ? context.secrets : context.configs;
  const byTarget = new Map(container.files.map((file) => [file.target, file]));
  origins.set("task.container.files", cursor);
  for (const item of readItems(cursor) ?? []) {
    const mount = readMount(item, kind);
    const file = mount && findFile(item, mount.source, { kind, known });
    if (mount === undefined || file === undefined) continue;
    const complete = toFileMount(kind, file.name, mount);
    const other = byTarget.get(complete.target);
    if (other !== undefined) {
      reportSameTarget(item, complete, other);
      continue;
    }
    byTarget.set(complete.target, complete);
    recordOrigins(draft, `task.container.files[${container.files.length}]`, item);
    container.files.push(complete);
  }
}

/** Reports two files with the same target. An item that is repeated is ignored, as in Compose. */
function reportSameTarget(cursor: Cursor, file: FileMount, other: FileMount): void {
  if (file.kind === other.kind && file.name === other.name) return;
  const message = `the ${fileKindName(other.kind)} ${other.name} has the same target ${other.target}`;
  cursor.diagnostics.error(cursor, message);
}

function readMount(cursor: Cursor, kind: FileKind): FileMountDraft | undefined {
  const mount = newFileMountDraft();
  if (cursor.node.kind === "map") applyKeys(cursor, LONG_FORM_KEYS, mount);
  else mount.source = readText(cursor) ?? "";
  if (mount.source !== "") return mount;
  if (!cursor.diagnostics.hasErrorUnder(cursor.path)) {
    cursor.diagnostics.error(cursor, `the ${fileKindName(kind)} has no source`);
  }
  return undefined;
}

function findFile(
  cursor: Cursor,
  source: string,
  { kind, known }: { readonly kind: FileKind; readonly known: ReadonlyMap<string, StackFile> },
): StackFile | undefined {
  const file = known.get(source);
  if (file !== undefined) return file;
  const word = fileKindName(kind);
  const hint = didYouMean(source, known.keys()) || `: declare it under the top-level ${word}s`;
  cursor.diagnostics.error(cursor, `undefined ${word} ${JSON.stringify(source)}${hint}`);
  return undefined;
}

/**
 * Reads permission bits. Text is octal, as in `chmod`. A number has the value that YAML gives it: 0440 and 0o440 are
 * octal, and 440 is decimal, as in Docker, which is rarely meant.
 */
function readMode(cursor: Cursor): number | undefined {
  const { node } = cursor;
  const value = node.kind === "scalar" ? node.value : null;
  if (typeof value === "string" && OCTAL.test(value)) return Number.parseInt(value.replace("0o", ""), 8);
  if (node.kind !== "scalar" || typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    return reportWrongType(cursor, "permission bits such as 0440");
  }
  const { text } = node;
  if (/^[1-7][0-7]*$/.test(text)) {
    const message = `${text} is a decimal number, which is 0${value.toString(8)}: write 0${text} for the permission bits ${text}`;
    cursor.diagnostics.warn(cursor, message);
  }
  return value;
}
