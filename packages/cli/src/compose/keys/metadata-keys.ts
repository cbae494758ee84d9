import { resolve } from "node:path";
import { parseEnvFile } from "../text/env-file.js";
import { decodeSource } from "../text/source.js";
import { type Cursor, keyPlace, readOneOrMore, readText, readTextMap } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

/** Reads the labels and annotations of a service's containers. The order matters: `labels` overrides the files. */
export const METADATA_KEYS: KeyTable<ServiceDraft> = {
  label_file: (cursor, draft) => {
    for (const item of readOneOrMore(cursor) ?? []) addLabelFile(item, draft);
  },
  labels: rule(readTextMap, (draft, labels) => {
    Object.assign(draft.container.labels, labels);
  }),
  annotations: rule(readTextMap, (draft, annotations) => {
    draft.container.annotations = annotations;
  }),
};

function addLabelFile(cursor: Cursor, draft: ServiceDraft): void {
  const { project } = draft.context;
  const path = readText(cursor);
  if (path === undefined) return;
  const bytes = project.readFile(resolve(project.directory, path));
  if (bytes === undefined) {
    cursor.diagnostics.error(keyPlace(cursor), `no such file: ${path}`);
    return;
  }
  const { lookup } = project;
  const options = { lookup, diagnostics: cursor.diagnostics, format: "compose" } as const;
  Object.assign(draft.container.labels, Object.fromEntries(parseEnvFile(decodeSource(path, bytes), options)));
}
