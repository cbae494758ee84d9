import type { StringList } from "@berth/proto";
import { taskTemplateProblem } from "../text/task-template.js";
import { type Cursor, readDurationMs, readFlag, readText, readTexts } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

/** Reads the settings of the process in a container: its command, user, hostname and stop signal. */
export const PROCESS_KEYS: KeyTable<ServiceDraft> = {
  entrypoint: rule(readWords, (draft, words) => {
    draft.container.entrypoint = words;
  }),
  command: rule(readWords, (draft, words) => {
    draft.container.command = words;
  }),
  working_dir: rule(readText, (draft, path, cursor) => {
    draft.container.workingDir = path;
    draft.origins.set("task.container.working_dir", cursor);
  }),
  user: rule(readText, (draft, user) => {
    draft.container.user = user;
  }),
  group_add: rule(readTexts, (draft, groups) => {
    draft.container.groupAdd = [...groups];
  }),
  hostname: rule(readText, (draft, hostname, cursor) => {
    const problem = taskTemplateProblem(hostname);
    if (problem !== undefined) cursor.diagnostics.error(cursor, problem);
    draft.container.hostname = hostname;
    draft.origins.set("task.container.hostname", cursor);
  }),
  domainname: rule(readText, (draft, domainname) => {
    draft.container.domainname = domainname;
  }),
  tty: rule(readFlag, (draft, tty) => {
    draft.container.tty = tty;
  }),
  stdin_open: rule(readFlag, (draft, open) => {
    draft.container.stdinOpen = open;
  }),
  init: rule(readFlag, (draft, init) => {
    draft.container.init = init;
  }),
  stop_signal: rule(readText, (draft, signal) => {
    draft.container.stopSignal = signal;
  }),
  stop_grace_period: rule(readDurationMs, (draft, ms) => {
    draft.container.stopGraceMs = ms;
  }),
};

/** Reads a list of words. An empty list clears the image's default. */
function readWords(cursor: Cursor): StringList | undefined {
  const words = readTexts(cursor);
  return words && { values: [...words] };
}
