import type { Terminal } from "../cli.js";

const CLEAR_LINE = "\x1b[2K";
const UP = (lines: number): string => `\x1b[${lines}A\r`;
/** Faster than this nobody reads, and slow terminals choke. */
const MIN_REDRAW_MS = 80;

/** Lines at the end of a terminal's output that are drawn over. On anything but a terminal use plain lines. */
export class LiveView {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  #drawn = 0;
  #drawnAtMs = Number.NEGATIVE_INFINITY;

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal;
    this.#now = now;
  }

  /** Shows the lines in place of the last ones. Skipped when the last ones were just drawn, unless `force`. */
  draw(lines: readonly string[], force = false): void {
    const nowMs = this.#now();
    if (!force && nowMs - this.#drawnAtMs < MIN_REDRAW_MS) return;
    this.#drawnAtMs = nowMs;
    const up = this.#drawn > 0 ? UP(this.#drawn) : "";
    const height = Math.max(lines.length, this.#drawn);
    const rows = Array.from({ length: height }, (_, row) => `${CLEAR_LINE}${lines[row] ?? ""}\n`);
    this.#terminal.write(up + rows.join(""));
    this.#drawn = height;
  }
}
