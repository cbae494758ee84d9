import type { Terminal } from "../process/cli.js";
import { LiveView } from "./live-view.js";

/** Prints one line that changes. On a terminal, it is redrawn in place. Elsewhere, each change is a line. */
export function progressLine(
  terminal: Terminal,
  now: () => number,
): (line: string, isFinal: boolean) => void {
  if (terminal.isTty) {
    const view = new LiveView(terminal, now);
    return (line, isLast) => view.draw([line], isLast);
  }
  let printed = "";
  return (line) => {
    if (line !== printed) terminal.write(`${line}\n`);
    printed = line;
  };
}
