import { styleText } from "node:util";
import type { Cli, Terminal } from "../process/cli.js";

export type Style = "red" | "green" | "yellow" | "cyan" | "magenta" | "blue" | "dim" | "bold";

/** Colours text for a terminal that shows colours; https://no-color.org is honoured. */
export function styled(cli: Cli, terminal: Terminal, style: Style, text: string): string {
  // Node would look at its own standard output, which need not be this terminal.
  return hasColours(cli, terminal) ? styleText(style, text, { validateStream: false }) : text;
}

function hasColours({ env }: Cli, terminal: Terminal): boolean {
  const refused = (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  return terminal.isTty && !refused;
}
