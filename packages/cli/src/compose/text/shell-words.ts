/** Characters that end a command in a shell. Compose stops at them, too. */
const TERMINATORS = new Set([";", "&", "|", "<", ">", "(", ")"]);
const ESCAPABLE_IN_DOUBLE_QUOTES = new Set(["\\", '"', "$", "`"]);

export type ShellWords =
  | {
      readonly kind: "words";
      readonly words: readonly string[];
      /** The rest of the line, from the first terminator on. Empty if there is none. */
      readonly ignored: string;
    }
  | { readonly kind: "invalid"; readonly reason: string };

/** Splits a command line into words as a shell would, with quotes and backslashes, but without any expansion. */
export function splitShellWords(line: string): ShellWords {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let index = 0; index < line.length; index += 1) {
    const char = line[index] ?? "";
    const next = line[index + 1];
    if (quote === "'") {
      if (char === "'") quote = "";
      else word += char;
    } else if (
      char === "\\" &&
      next !== undefined &&
      (quote === "" || ESCAPABLE_IN_DOUBLE_QUOTES.has(next))
    ) {
      word = (word ?? "") + next;
      index += 1;
    } else if (quote === '"') {
      if (char === '"') quote = "";
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (TERMINATORS.has(char)) {
      return {
        kind: "words",
        words: word === undefined ? words : [...words, word],
        ignored: line.slice(index),
      };
    } else word = (word ?? "") + char;
  }
  if (quote !== "") return { kind: "invalid", reason: `unclosed quote (${quote})` };
  return { kind: "words", words: word === undefined ? words : [...words, word], ignored: "" };
}
