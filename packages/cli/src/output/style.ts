import { styleText } from "node:util";
import type { Cli, Terminal } from "../process/cli.js";

export type Style = "red" | "green" | "yellow" | "cyan" | "magenta" | "blue" | "dim" | "bold";

/** Colors text if the terminal supports it. Honors NO_COLOR (https://no-color.org). */
export function styled(cli: Cli, terminal: Terminal, style: Style, text: string): string {
  // By default, Node checks its own standard output, which may not be this terminal.
  return supportsColor(cli, terminal) ? styleText(style, text, { validateStream: false }) : text;
}

function supportsColor({ env }: Cli, terminal: Terminal): boolean {
  const isDisabled = (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  return terminal.isTty && !isDisabled;
}
