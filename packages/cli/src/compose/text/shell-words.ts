/** Characters that end a command in a shell. Compose stops at them, too. */
const TERMINATORS = new Set([";", "&", "|", "<", ">", "(", ")"]);

/** Parts of a word. Each pattern captures the text of a part, and `decode` resolves its escapes. */
const WORD_PARTS: readonly { readonly pattern: RegExp; readonly decode?: (text: string) => string }[] = [
  { pattern: /'([^']*)'/y },
  { pattern: /"((?:[^"\\]|\\.)*)"/sy, decode: (text) => text.replace(/\\([\\"$`])/g, "$1") },
  { pattern: /\\(.)/sy },
  { pattern: /([^\s;&|<>()'"])/y },
];

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
  let index = 0;
  while (index < line.length) {
    const part = matchWordPart(line, index);
    if (part !== undefined) {
      word = (word ?? "") + part.text;
      index = part.end;
      continue;
    }
    const char = line[index] ?? "";
    if (char === "'" || char === '"') return { kind: "invalid", reason: `unclosed quote (${char})` };
    if (word !== undefined) words.push(word);
    word = undefined;
    if (TERMINATORS.has(char)) return { kind: "words", words, ignored: line.slice(index) };
    index += 1;
  }
  if (word !== undefined) words.push(word);
  return { kind: "words", words, ignored: "" };
}

/**
 * Returns the part of a word that starts at the index, or undefined at white space, a terminator or an unclosed quote.
 */
function matchWordPart(
  line: string,
  index: number,
): { readonly text: string; readonly end: number } | undefined {
  for (const { pattern, decode = keepText } of WORD_PARTS) {
    pattern.lastIndex = index;
    const [, text] = pattern.exec(line) ?? [];
    if (text !== undefined) return { text: decode(text), end: pattern.lastIndex };
  }
  return undefined;
}

const keepText = (text: string): string => text;
