/** Characters that end a command for a shell; Compose cuts there too. */
const TERMINATORS = new Set([";", "&", "|", "<", ">", "(", ")"]);
const ESCAPABLE_IN_DOUBLE_QUOTES = new Set(["\\", '"', "$", "`"]);

export type ShellWords =
  | {
      readonly kind: "words";
      readonly words: readonly string[];
      /** What a shell would take for another command, and which is left out. */
      readonly cut: string;
    }
  | { readonly kind: "invalid"; readonly reason: string };

/** Splits a command line into words as a shell would, quotes and backslashes included; nothing is expanded. */
export function splitShellWords(line: string): ShellWords {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at] ?? "";
    const next = line[at + 1];
    if (quote === "'") {
      if (char === "'") quote = "";
      else word += char;
    } else if (
      char === "\\" &&
      next !== undefined &&
      (quote === "" || ESCAPABLE_IN_DOUBLE_QUOTES.has(next))
    ) {
      word = (word ?? "") + next;
      at += 1;
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
      return { kind: "words", words: word === undefined ? words : [...words, word], cut: line.slice(at) };
    } else word = (word ?? "") + char;
  }
  if (quote !== "") return { kind: "invalid", reason: `a ${quote} is never closed` };
  return { kind: "words", words: word === undefined ? words : [...words, word], cut: "" };
}
