import type { Terminal } from "../process/cli.js";
import { styledTerminalText } from "./terminal-text.js";

const ENTER_ALTERNATE_SCREEN = "\x1b[?1049h\x1b[?25l";
const LEAVE_ALTERNATE_SCREEN = "\x1b[?25h\x1b[?1049l";
const MOVE_TO_TOP = "\x1b[H";
const CLEAR_TO_LINE_END = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** Draws on the alternate screen of a terminal. Closing it restores the previous content. */
export class FullScreen {
  readonly #terminal: Terminal;
  #isOpen = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  open(): void {
    this.#isOpen = true;
    this.#terminal.writeRaw(ENTER_ALTERNATE_SCREEN);
  }

  /** Replaces the previous lines one by one, without flicker. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return;
    const text = lines.map((line) => `${styledTerminalText(line)}${CLEAR_TO_LINE_END}`).join("\r\n");
    this.#terminal.writeRaw(`${MOVE_TO_TOP}${text}${CLEAR_BELOW}`);
  }

  close(): void {
    if (this.#isOpen) this.#terminal.writeRaw(LEAVE_ALTERNATE_SCREEN);
    this.#isOpen = false;
  }
}
