import { FileKind, fileKindName, fileNameProblem, scopedName } from "@berth/proto";
import type { FileSource, Project, StackFile } from "./keys/stack-context.js";
import { rejectKey } from "./keys/unsupported-keys.js";
import {
  type Cursor,
  keyPlace,
  listFields,
  readFields,
  readFlag,
  readOneOf,
  readText,
  readTextMap,
} from "./tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "./tree/key-table.js";
import { isNull } from "./tree/node.js";

/** A secret or config while its keys are read. */
interface FileDraft {
  name: string | undefined;
  isExternal: boolean;
  isTemplate: boolean;
  labels: Readonly<Record<string, string>>;
  readonly sources: FileSource[];
}

const NAME_KEY: KeyTable<FileDraft> = {
  name: rule(readText, (file, name) => {
    file.name = name;
  }),
};

const COMMON_KEYS: KeyTable<FileDraft> = {
  ...NAME_KEY,
  external: readExternal,
  labels: rule(readTextMap, (file, labels) => {
    file.labels = labels;
  }),
  file: sourceRule("path", readText),
  environment: sourceRule("variable", readVariableName),
};

const SECRET_KEYS: KeyTable<FileDraft> = {
  ...COMMON_KEYS,
  content: rejectKey("a Compose file cannot contain the content of a secret: use file or environment"),
  driver: rejectKey("secret drivers are not supported yet"),
  driver_opts: rejectKey("secret drivers are not supported yet"),
  template_driver: rejectKey("only a config can be a template"),
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

/**
 * Translates the top-level `secrets:` or `configs:` of a Compose file, without their contents. Returns them by the names
 * that services use. In the cluster, one of the stack is called `<stack>_<name>` unless it sets `name`.
 */
export function translateFiles(
  cursor: Cursor,
  kind: FileKind,
  project: Project,
): ReadonlyMap<string, StackFile> {
  const files = new Map<string, StackFile>();
  const keys = new Map<string, string>();
  for (const [key, field] of readFields(cursor) ?? []) {
    const file = translateFile(key, field, { kind, stack: project.stack });
    const other = keys.get(file.name);
    // Several keys can name the same external file.
    if (other !== undefined && (file.source !== undefined || files.get(other)?.source !== undefined)) {
      const message = `the ${fileKindName(kind)} ${other} has the same name ${file.name}`;
      field.diagnostics.error(keyPlace(field), message);
    }
    keys.set(file.name, key);
    files.set(key, file);
  }
  return files;
}

function translateFile(
  key: string,
  cursor: Cursor,
  { kind, stack }: { readonly kind: FileKind; readonly stack: string },
): StackFile {
  const file: FileDraft = { name: undefined, isExternal: false, isTemplate: false, labels: {}, sources: [] };
  // The text of a scalar may be a secret, so the error must not quote it.
  if (cursor.node.kind === "map")
    applyKeys(cursor, kind === FileKind.SECRET ? SECRET_KEYS : CONFIG_KEYS, file);
  else if (!isNull(cursor.node)) cursor.diagnostics.error(keyPlace(cursor), "must be a mapping");
  const { isExternal, isTemplate, labels, sources } = file;
  const name = file.name ?? (isExternal ? key : scopedName(stack, key));
  const problem = fileNameProblem(fileKindName(kind), name);
  if (problem !== undefined) cursor.diagnostics.error(keyPlace(cursor), problem);
  if (isExternal) reportExternalConflicts(cursor, kind);
  else reportSources(cursor, kind, sources);
  return { kind, name, labels, isTemplate, source: isExternal ? undefined : sources[0] };
}

/** Reads `external: true`, or the old form `external: {name: …}`. */
function readExternal(cursor: Cursor, file: FileDraft): void {
  if (cursor.node.kind === "map") {
    file.isExternal = true;
    applyKeys(cursor, NAME_KEY, file);
  } else file.isExternal = readFlag(cursor) ?? false;
}

function sourceRule(
  kind: FileSource["kind"],
  read: (cursor: Cursor) => string | undefined,
): KeyTable<FileDraft>[string] {
  return rule(read, (file: FileDraft, value, cursor) => file.sources.push({ kind, value, cursor }));
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
    if (EXTERNAL_KEYS.includes(key) || key.startsWith("x-") || isNull(field.node)) continue;
    const message = `an external ${fileKindName(kind)} cannot have ${key}`;
    if (!cursor.diagnostics.hasErrorUnder(field.path)) cursor.diagnostics.error(keyPlace(field), message);
  }
}

/** Reports a secret or config without a source, and with more than one. */
function reportSources(cursor: Cursor, kind: FileKind, [first, ...others]: readonly FileSource[]): void {
  const isSecret = kind === FileKind.SECRET;
  for (const { cursor: other } of others) {
    const names = isSecret ? "file and environment" : "file, environment and content";
    cursor.diagnostics.error(keyPlace(other), `${names} are mutually exclusive`);
  }
  if (first !== undefined || cursor.diagnostics.hasErrorUnder(cursor.path)) return;
  const names = isSecret ? "file, environment" : "file, environment, content";
  const message = `the ${fileKindName(kind)} has no source: set ${names} or external: true`;
  cursor.diagnostics.error(keyPlace(cursor), message);
}
