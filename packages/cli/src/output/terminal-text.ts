import type { Terminal } from "../process/cli.js";

/**
 * Characters that control a terminal or reorder its text: C0 except tab and newline, DEL, C1, and the marks,
 * embeddings, overrides and isolates of bidirectional text.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: matches the characters to escape
const UNSAFE_CHARACTERS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
/** The sequences with which `styled` sets and resets a color, bold and dim. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: matches the escape sequences
const STYLE_SEQUENCE = /(\x1b\[(?:1|2|22|3[1-6]|39)m)/;

/**
 * Makes text safe for a terminal. Each control character becomes visible as `\u001b`, which is also its escape in JSON:
 * JSON that passes through this function keeps its value.
 */
export function terminalText(text: string): string {
  return text.replace(
    UNSAFE_CHARACTERS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Makes text safe for a terminal, except for the sequences of `styled`. */
export function styledTerminalText(text: string): string {
  const parts = text.split(STYLE_SEQUENCE);
  // `split` returns the captured sequences at odd indices.
  return parts.map((part, index) => (index % 2 === 0 ? terminalText(part) : part)).join("");
}

/** Returns a terminal that makes all text safe. `writeRaw` is the exception. */
export function safeTerminal(terminal: Terminal): Terminal {
  return {
    write: (text) => terminal.write(styledTerminalText(text)),
    writeRaw: (text) => terminal.writeRaw(text),
    isTty: terminal.isTty,
    get columns() {
      return terminal.columns;
    },
  };
}
