import { resolve } from "node:path";
import { parseEnvFile } from "../text/env-file.js";
import { decodeSource } from "../text/source.js";
import {
  type Cursor,
  keyPlace,
  readFlag,
  readKeyValues,
  readOneOf,
  readOneOrMore,
  readText,
} from "../tree/cursor.js";
import type { KeyTable } from "../tree/key-table.js";
import { applyKeys, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

/** Reads the environment variables of a service. The order matters: `environment` overrides the files. */
export const ENVIRONMENT_KEYS: KeyTable<ServiceDraft> = {
  env_file: (cursor, draft) => {
    for (const item of readOneOrMore(cursor) ?? []) {
      const file = readEnvFileEntry(item);
      if (file !== undefined) addEnvFile(item, file, draft);
    }
  },
  environment: rule(readKeyValues, (draft, variables) => {
    for (const [name, { value, cursor }] of variables) {
      if (name === "") cursor.diagnostics.error(cursor, "the variable has no name");
      const resolved = value ?? draft.context.project.lookup(name);
      if (resolved === undefined) draft.environment.delete(name);
      else draft.environment.set(name, resolved);
    }
  }),
};

interface EnvFileEntry {
  path: string;
  required: boolean;
  format: "compose" | "raw";
}

const ENV_FILE_KEYS: KeyTable<EnvFileEntry> = {
  path: rule(readText, (entry, path) => {
    entry.path = path;
  }),
  required: rule(readFlag, (entry, required) => {
    entry.required = required;
  }),
  format: rule(
    (cursor) => readOneOf(cursor, ["raw"] as const),
    (entry, format) => {
      entry.format = format;
    },
  ),
};

function readEnvFileEntry(cursor: Cursor): EnvFileEntry | undefined {
  const entry: EnvFileEntry = { path: "", required: true, format: "compose" };
  if (cursor.node.kind === "map") applyKeys(cursor, ENV_FILE_KEYS, entry);
  else entry.path = readText(cursor) ?? "";
  if (entry.path !== "") return entry;
  if (!cursor.diagnostics.hasErrorAt(cursor)) cursor.diagnostics.error(cursor, "the env file has no path");
  return undefined;
}

function addEnvFile(cursor: Cursor, file: EnvFileEntry, draft: ServiceDraft): void {
  const { project } = draft.context;
  const bytes = project.readFile(resolve(project.directory, file.path));
  if (bytes === undefined) {
    if (file.required) cursor.diagnostics.error(keyPlace(cursor), `no such file: ${file.path}`);
    return;
  }
  const values = parseEnvFile(decodeSource(file.path, bytes), {
    lookup: (name) => project.lookup(name) ?? draft.environment.get(name),
    diagnostics: cursor.diagnostics,
    format: file.format,
  });
  for (const [name, value] of values) draft.environment.set(name, value);
}
