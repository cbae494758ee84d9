import type { Terminal } from "../process/cli.js";

const CLEAR_LINE = "\x1b[2K";
const UP = (lines: number): string => `\x1b[${lines}A\r`;
/** Minimum time between two redraws. Slow terminals cannot keep up with more. */
const MIN_REDRAW_MS = 80;

/**
 * Redraws the last lines of a terminal in place. Use plain lines when the output is not a terminal. The last draw must
 * be forced, since a deferred one may never happen.
 */
export class LiveView {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  #drawn = 0;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #deferred: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal;
    this.#now = now;
  }

  /** Replaces the lines that were drawn last. Deferred if those were just drawn, unless `force`. */
  draw(lines: readonly string[], force = false): void {
    clearTimeout(this.#deferred);
    const nowMs = this.#now();
    const waitMs = this.#drawnAtMs + MIN_REDRAW_MS - nowMs;
    if (!force && waitMs > 0) {
      this.#deferred = setTimeout(() => this.draw(lines, true), waitMs);
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
