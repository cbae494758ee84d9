import type { Terminal } from "../process/cli.js";

const CLEAR_LINE = "\x1b[2K";
const UP = (lines: number): string => `\x1b[${lines}A\r`;
/** Faster than this nobody reads, and slow terminals choke. */
const MIN_REDRAW_MS = 80;

/**
 * Lines at the end of a terminal's output that are drawn over. On anything but a terminal use plain lines.
 * The last draw has to be forced: nothing is drawn after it.
 */
export class LiveView {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  #drawn = 0;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #later: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal;
    this.#now = now;
  }

  /** Shows the lines in place of the last ones: a little later when those were just drawn, unless `force`. */
  draw(lines: readonly string[], force = false): void {
    clearTimeout(this.#later);
    const nowMs = this.#now();
    const waitMs = this.#drawnAtMs + MIN_REDRAW_MS - nowMs;
    if (!force && waitMs > 0) {
      this.#later = setTimeout(() => this.draw(lines, true), waitMs);
      return;
    }
    this.#drawnAtMs = nowMs;
    const up = this.#drawn > 0 ? UP(this.#drawn) : "";
    const height = Math.max(lines.length, this.#drawn);
    const rows = Array.from({ length: height }, (_, row) => `${CLEAR_LINE}${lines[row] ?? ""}\n`);
    this.#terminal.write(up + rows.join(""));
    this.#drawn = height;
  }
}
