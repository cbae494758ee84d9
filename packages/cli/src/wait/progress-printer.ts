import type { Terminal } from "../cli.js";
import { LiveView } from "../output/live-view.js";
import type { Progress } from "./progress.js";
import { plainLine, renderProgress } from "./render-progress.js";

/** Shows a wait as it goes: in place on a terminal, one line per change elsewhere. */
export interface ProgressPrinter {
  show(progress: Progress): void;
  /** Shows the last state for good. */
  finish(progress: Progress): void;
  note(text: string): void;
}

export function createProgressPrinter(terminal: Terminal, now: () => number): ProgressPrinter {
  return terminal.isTty ? livePrinter(terminal, now) : plainPrinter(terminal);
}

export const SILENT_PRINTER: ProgressPrinter = { show: () => {}, finish: () => {}, note: () => {} };

function livePrinter(terminal: Terminal, now: () => number): ProgressPrinter {
  const view = new LiveView(terminal, now);
  let notes: readonly string[] = [];
  const lines = (progress: Progress): readonly string[] => [
    ...renderProgress(progress, terminal.columns),
    ...notes,
  ];
  return {
    show: (progress) => {
      notes = [];
      view.draw(lines(progress));
    },
    finish: (progress) => view.draw(lines(progress), true),
    note: (text) => {
      notes = [text];
    },
  };
}

function plainPrinter(terminal: Terminal): ProgressPrinter {
  const printed = new Map<string, string>();
  const show = (progress: Progress): void => {
    for (const service of progress.services.values()) {
      const line = plainLine(service);
      if (service.watched !== undefined && printed.get(service.id) !== line) terminal.write(`${line}\n`);
      printed.set(service.id, line);
    }
  };
  return { show, finish: show, note: (text) => terminal.write(`${text}\n`) };
}
