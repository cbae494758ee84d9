import { LiveView } from "../output/live-view.js";
import { oneLine, truncate } from "../output/table.js";
import type { Terminal } from "../process/cli.js";
import type { Progress } from "./progress.js";
import { MAX_COLUMNS, plainLine, renderProgress } from "./render-progress.js";

/** Prints the progress of a wait. */
export interface ProgressPrinter {
  show(progress: Progress): void;
  /** Prints that the connection to the server is lost. Repeated calls print nothing until there is progress again. */
  reportConnectionLost(reason: string): void;
  /** Prints the final state. */
  finish(progress: Progress): void;
}

/** Redraws lines in place on a terminal. Elsewhere, prints a line for each change. */
export function createProgressPrinter(terminal: Terminal, now: () => number): ProgressPrinter {
  return terminal.isTty ? livePrinter(terminal, now) : plainPrinter(terminal);
}

/** Printer for `--quiet`, which prints nothing. */
export const SILENT_PRINTER: ProgressPrinter = {
  show: () => {},
  reportConnectionLost: () => {},
  finish: () => {},
};

function livePrinter(terminal: Terminal, now: () => number): ProgressPrinter {
  const view = new LiveView(terminal, now);
  let lines: readonly string[] = [];
  return {
    show: (progress) => {
      lines = renderProgress(progress, terminal.columns);
      view.draw(lines);
    },
    reportConnectionLost: (reason) => {
      const note = truncate(lostText(reason), Math.min(terminal.columns, MAX_COLUMNS));
      view.draw([...lines, note], true);
    },
    finish: (progress) => view.draw(renderProgress(progress, terminal.columns), true),
  };
}

function plainPrinter(terminal: Terminal): ProgressPrinter {
  const printed = new Map<string, string>();
  let isLost = false;
  const show = (progress: Progress): void => {
    isLost = false;
    for (const service of progress.services.values()) {
      const line = plainLine(service);
      if (service.watched !== undefined && printed.get(service.id) !== line) terminal.write(`${line}\n`);
      printed.set(service.id, line);
    }
  };
  return {
    show,
    reportConnectionLost: (reason) => {
      if (!isLost) terminal.write(`${lostText(reason)}\n`);
      isLost = true;
    },
    finish: show,
  };
}

function lostText(reason: string): string {
  return `Connection lost, reconnecting: ${oneLine(reason)}`;
}
