import { styleText } from "node:util";
import type { Cli, Terminal } from "../process/cli.js";
import { terminalText } from "./terminal-text.js";

export type Style = "red" | "green" | "yellow" | "cyan" | "magenta" | "blue" | "dim" | "bold";

/** Makes text safe for a terminal, and colors it if the terminal supports that. Honors NO_COLOR (https://no-color.org). */
export function styled(cli: Cli, terminal: Terminal, style: Style, text: string): string {
  // By default, Node checks its own standard output, which may not be this terminal.
  const safeText = terminalText(text);
  return supportsColor(cli, terminal) ? styleText(style, safeText, { validateStream: false }) : safeText;
}

function supportsColor({ env }: Cli, terminal: Terminal): boolean {
  const isDisabled = (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  return terminal.isTty && !isDisabled;
}
