import { FileKind, type FileMount, fileKindName } from "@berth/proto";
import {
  FILE_MOUNT_RULES,
  type FileMountDraft,
  newFileMountDraft,
  toFileMount,
} from "../../../compose/keys/file-keys.js";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { readText } from "../../../compose/tree/cursor.js";
import { type KeyTable, rule } from "../../../compose/tree/key-table.js";
import { type Edit, edit, inContainer } from "./edit.js";
import { applyFlagFields } from "./flag-fields.js";
import { parseNonEmptyText, removeMatching, replaceMatching } from "./parse-flag-values.js";

/** Flags that change the secrets and configs of a container. */
export const FILE_EDITS = {
  "secret-rm": removal(FileKind.SECRET),
  "secret-add": addition(FileKind.SECRET),
  "config-rm": removal(FileKind.CONFIG),
  "config-add": addition(FileKind.CONFIG),
} satisfies Readonly<Record<string, Edit>>;

const FLAG_KEYS: KeyTable<FileMountDraft> = {
  ...FILE_MOUNT_RULES,
  src: FILE_MOUNT_RULES.source,
  env: rule(readText, (mount, env) => {
    mount.env = env;
  }),
};

/** Creates the edit that removes all mounts of a secret or config, by its name. */
function removal(kind: FileKind): Edit {
  return edit(
    parseNonEmptyText,
    inContainer(({ files }, name) => ({
      files: removeMatching(files, (file) => file.kind === kind && file.name === name),
    })),
  );
}

/** Creates the edit that adds a mount. It replaces a mount with the same target or environment variable. */
function addition(kind: FileKind): Edit {
  return edit(
    (text) => parseFileFlag(kind, text),
    inContainer(({ files }, file) => ({
      files: replaceMatching(files, ({ target, env }) => target === file.target && env === file.env, file),
    })),
  );
}

/**
 * Parses `source=db_password,target=password,uid=1000,gid=1000,mode=0400`, or only the name, with Docker's keys.
 * `source=db_password,env=PGPASSWORD` sets an environment variable, as for build secrets.
 */
function parseFileFlag(kind: FileKind, text: string): Parsed<FileMount> {
  const draft = newFileMountDraft();
  if (/[=,]/.test(text)) {
    const problem = applyFlagFields(text, FLAG_KEYS, draft);
    if (problem !== undefined) return invalid(problem);
  } else {
    draft.source = text.trim();
  }
  const noun = fileKindName(kind);
  if (draft.source === "") return invalid(`the ${noun} has no source; set source=NAME`);
  return valid(toFileMount(kind, draft.source, draft));
}
