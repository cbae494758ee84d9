import { type Edit, edit, inContainer } from "../edit.js";
import { booleanFlag, commandLine, durationMs, nonEmptyText, text } from "../flag-values.js";

/** What runs in a container, and how it is asked to end. */
export const PROCESS_EDITS = {
  image: edit(
    nonEmptyText,
    inContainer((_, image) => ({ image })),
  ),
  args: edit(
    commandLine,
    inContainer((_, words) => ({ command: words.length === 0 ? undefined : { values: [...words] } })),
  ),
  entrypoint: edit(
    commandLine,
    inContainer((_, words) => ({ entrypoint: words.length === 0 ? undefined : { values: [...words] } })),
  ),
  user: edit(
    text,
    inContainer((_, user) => ({ user })),
  ),
  workdir: edit(
    text,
    inContainer((_, workingDir) => ({ workingDir })),
  ),
  hostname: edit(
    text,
    inContainer((_, hostname) => ({ hostname })),
  ),
  "stop-signal": edit(
    text,
    inContainer((_, stopSignal) => ({ stopSignal })),
  ),
  "stop-grace-period": edit(
    durationMs,
    inContainer((_, stopGraceMs) => ({ stopGraceMs })),
  ),
  init: edit(
    booleanFlag,
    inContainer((_, init) => ({ init })),
  ),
  "read-only": edit(
    booleanFlag,
    inContainer((_, readOnly) => ({ readOnly })),
  ),
  tty: edit(
    booleanFlag,
    inContainer((_, tty) => ({ tty })),
  ),
} satisfies Readonly<Record<string, Edit>>;
