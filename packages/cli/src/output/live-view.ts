import type { Terminal } from "../process/cli.js";
import { styledTerminalText } from "./terminal-text.js";

const CLEAR_LINE = "\x1b[2K";
/** Minimum interval between two redraws. Slow terminals cannot keep up with more. */
const MIN_REDRAW_MS = 80;

/** Returns the escape sequence that moves the cursor up to the start of a line. */
const moveUp = (lines: number): string => `\x1b[${lines}A\r`;

/**
 * Redraws the last lines of a terminal in place. Use it only when the output is a terminal. Force the last draw, since
 * the command may end before a deferred draw.
 */
export class LiveView {
  readonly #terminal: Pick<Terminal, "writeRaw">;
  readonly #now: () => number;
  #drawnLines = 0;
  #lastDrawMs = Number.NEGATIVE_INFINITY;
  #deferred: NodeJS.Timeout | undefined;

  constructor(terminal: Pick<Terminal, "writeRaw">, now: () => number) {
    this.#terminal = terminal;
    this.#now = now;
  }

  /** Replaces the lines of the previous draw. Waits if that draw was less than 80 ms ago, unless `force` is set. */
  draw(lines: readonly string[], force = false): void {
    clearTimeout(this.#deferred);
    const nowMs = this.#now();
    const waitMs = this.#lastDrawMs + MIN_REDRAW_MS - nowMs;
    if (!force && waitMs > 0) {
      this.#deferred = setTimeout(() => this.draw(lines, true), waitMs);
      return;
    }
    this.#lastDrawMs = nowMs;
    const up = this.#drawnLines > 0 ? moveUp(this.#drawnLines) : "";
    const height = Math.max(lines.length, this.#drawnLines);
    const rows = Array.from(
      { length: height },
      (_, row) => `${CLEAR_LINE}${styledTerminalText(lines[row] ?? "")}\n`,
    );
    this.#terminal.writeRaw(up + rows.join(""));
    this.#drawnLines = height;
  }
}
