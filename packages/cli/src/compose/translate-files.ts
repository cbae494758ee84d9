import { FileKind, fileKindName, fileNameProblem } from "@berth/proto";
import type { FileSource, StackFile } from "./keys/stack-context.js";
import { rejectKey } from "./keys/unsupported-keys.js";
import {
  type Cursor,
  keyPlace,
  listFields,
  readFlag,
  readOneOf,
  readText,
  readTextMap,
} from "./tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "./tree/key-table.js";
import { isNull } from "./tree/node.js";

/** A secret or config while its keys are read. */
interface FileDraft {
  name: string;
  isExternal: boolean;
  isTemplate: boolean;
  labels: Readonly<Record<string, string>>;
  source: FileSource | undefined;
}

const COMMON_KEYS: KeyTable<FileDraft> = {
  name: rule(readText, (file, name) => {
    file.name = name;
  }),
  external: rule(readFlag, (file, isExternal) => {
    file.isExternal = isExternal;
  }),
  labels: rule(readTextMap, (file, labels) => {
    file.labels = labels;
  }),
  file: sourceRule("path", readText),
  environment: sourceRule("variable", readVariableName),
};

const SECRET_KEYS: KeyTable<FileDraft> = {
  ...COMMON_KEYS,
  driver: rejectKey("secret drivers are not supported yet"),
  driver_opts: rejectKey("secret drivers are not supported yet"),
  template_driver: rejectKey("only configs can be templates"),
};

const CONFIG_KEYS: KeyTable<FileDraft> = {
  ...COMMON_KEYS,
  content: sourceRule("text", readText),
  template_driver: rule(
    (cursor) => readOneOf(cursor, ["golang"]),
    (file) => {
      file.isTemplate = true;
    },
  ),
};

/** Keys that an external secret or config can have. */
const EXTERNAL_KEYS = ["external", "name"];

/** Translates the secrets or configs of a stack, without their contents. Returns them by the keys that services use. */
export function translateFiles(
  cursors: ReadonlyMap<string, Cursor>,
  kind: FileKind,
): ReadonlyMap<string, StackFile> {
  const files = new Map<string, StackFile>();
  const keys = new Map<string, string>();
  for (const [key, field] of cursors) {
    const file = translateFile(key, field, kind);
    const otherKey = keys.get(file.name);
    // Several keys can name the same external file.
    if (otherKey !== undefined && (file.source !== undefined || files.get(otherKey)?.source !== undefined)) {
      const message = `the ${fileKindName(kind)} ${otherKey} has the same name ${file.name}`;
      field.diagnostics.error(keyPlace(field), message);
    }
    keys.set(file.name, key);
    files.set(key, file);
  }
  return files;
}

function translateFile(key: string, cursor: Cursor, kind: FileKind): StackFile {
  const file: FileDraft = { name: key, isExternal: false, isTemplate: false, labels: {}, source: undefined };
  if (!isNull(cursor.node)) applyKeys(cursor, kind === FileKind.SECRET ? SECRET_KEYS : CONFIG_KEYS, file);
  const { name, isExternal, isTemplate, labels, source } = file;
  const problem = fileNameProblem(fileKindName(kind), name);
  if (problem !== undefined) cursor.diagnostics.error(keyPlace(cursor), problem);
  if (isExternal) reportExternalConflicts(cursor, kind);
  return { kind, name, labels, isTemplate, source: isExternal ? undefined : source };
}

function sourceRule(
  kind: FileSource["kind"],
  read: (cursor: Cursor) => string | undefined,
): KeyTable<FileDraft>[string] {
  return rule(read, (file: FileDraft, value, cursor) => {
    file.source = { kind, value, cursor };
  });
}

/** Reads the name of a variable. Anything else may be the secret itself, so the error must not quote it. */
function readVariableName(cursor: Cursor): string | undefined {
  const name = readText(cursor);
  if (name === undefined || /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  cursor.diagnostics.error(cursor, "the value is not the name of a variable");
  return undefined;
}

function reportExternalConflicts(cursor: Cursor, kind: FileKind): void {
  for (const [key, field] of listFields(cursor)) {
    if (EXTERNAL_KEYS.includes(key) || key.startsWith("x-")) continue;
    const message = `an external ${fileKindName(kind)} cannot have ${key}`;
    if (!cursor.diagnostics.hasErrorUnder(field.path)) cursor.diagnostics.error(keyPlace(field), message);
  }
}
