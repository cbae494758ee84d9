import type { Cli, Terminal } from "../process/cli.js";
import { terminalText } from "./terminal-text.js";

export type Style = "red" | "green" | "yellow" | "cyan" | "magenta" | "blue" | "dim" | "bold";

/** Makes text safe for a terminal, and colors it if the terminal supports that. Honors NO_COLOR (https://no-color.org). */
export function styled(cli: Cli, terminal: Terminal, style: Style, text: string): string {
  // By default, Node checks its own standard output, which may not be this terminal.
  const safeText = terminalText(text);
  if (!supportsColor(cli, terminal)) return safeText;
  // An import would load all of node:util at the start of each command, which takes 1 MB of memory.
  const { styleText } = process.getBuiltinModule("node:util");
  return styleText(style, safeText, { validateStream: false });
}

function supportsColor({ env }: Cli, terminal: Terminal): boolean {
  const isDisabled = (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  return terminal.isTty && !isDisabled;
}
