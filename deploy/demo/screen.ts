import { stripVTControlCharacters, styleText } from "node:util";

/** Maximum output width in columns. */
export const WIDTH = 80;

type Style = Parameters<typeof styleText>[0];

/** The demo's output: with colors and a live status line on a terminal, as plain lines elsewhere. */
export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #isLive: boolean;
  #hasLiveLine = false;

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
    this.#isLive = out.isTTY === true;
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  /** Colors text if the output is a terminal. Honors NO_COLOR. */
  paint(style: Style, text: string): string {
    return this.#isLive && !process.env.NO_COLOR ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Prints a line. */
  line(text = ""): void {
    this.#clearLive();
    this.#out.write(`${text}\n`);
  }

  /** Prints a heading. */
  heading(text: string): void {
    this.line();
    this.line(
      `${this.paint("bold", text)} ${this.paint("dim", "─".repeat(Math.max(0, WIDTH - text.length - 1)))}`,
    );
  }

  /** Prints a command line that the demo is about to run. */
  command(commandLine: string): void {
    this.line(this.paint("dim", `$ ${commandLine}`));
  }

  /** Replaces the live status line. Does nothing if the output is not a terminal. */
  live(text: string): void {
    if (!this.#isLive) return;
    this.#clearLive();
    this.#out.write(truncate(text, WIDTH - 1));
    this.#hasLiveLine = true;
  }

  #clearLive(): void {
    if (this.#hasLiveLine) this.#out.write("\r\x1b[2K");
    this.#hasLiveLine = false;
  }
}

/** Returns a horizontal bar of `share` × `width` cells. */
export function bar(share: number, width: number): string {
  return "█".repeat(Math.round(Math.min(1, Math.max(0, share)) * width));
}

function truncate(text: string, width: number): string {
  return stripVTControlCharacters(text).length <= width
    ? text
    : stripVTControlCharacters(text).slice(0, width);
}
