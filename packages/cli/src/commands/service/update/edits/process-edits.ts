import { type Edit, edit, inContainer } from "../edit.js";
import { anyText, commandLine, durationMs, flagState, someText } from "../values.js";

/** What runs in a container, and how it is asked to end. */
export const PROCESS_EDITS = {
  image: edit(
    someText,
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
    anyText,
    inContainer((_, user) => ({ user })),
  ),
  workdir: edit(
    anyText,
    inContainer((_, workingDir) => ({ workingDir })),
  ),
  hostname: edit(
    anyText,
    inContainer((_, hostname) => ({ hostname })),
  ),
  "stop-signal": edit(
    anyText,
    inContainer((_, stopSignal) => ({ stopSignal })),
  ),
  "stop-grace-period": edit(
    durationMs,
    inContainer((_, stopGraceMs) => ({ stopGraceMs })),
  ),
  init: edit(
    flagState,
    inContainer((_, init) => ({ init })),
  ),
  "read-only": edit(
    flagState,
    inContainer((_, readOnly) => ({ readOnly })),
  ),
  tty: edit(
    flagState,
    inContainer((_, tty) => ({ tty })),
  ),
} satisfies Readonly<Record<string, Edit>>;
