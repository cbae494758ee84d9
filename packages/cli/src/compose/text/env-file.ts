import type { Diagnostics } from "./diagnostics.js";
import type { Source, SourceSpan } from "./source.js";
import { interpolate, type Lookup, MAX_EXPANDED_LENGTH } from "./template.js";

export interface EnvFileOptions {
  /** Looks up variables in values, and the values of keys without `=`. Its variables override those of the file. */
  readonly lookup: Lookup;
  readonly diagnostics: Diagnostics;
  /** `raw` does not interpret quotes, variables or comments in values. */
  readonly format: "compose" | "raw";
}

const ASSIGNMENT = /[ \t]*(?:export[ \t]+)?([^\s=:#]+)[ \t]*([=:]?)[ \t]*/y;
const KEY = /^[\w.[\]-]+$/;
const INLINE_COMMENT = /\s#.*$/;
const ESCAPE = /\\([abfnrtv"'\\$])/g;
const ESCAPED: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  // `interpolate` converts it to one dollar sign.
  $: "$$",
};

/** Parses a `.env`, `env_file` or `label_file` file as Compose does. Reports invalid lines and skips them. */
export function parseEnvFile(source: Source, options: EnvFileOptions): ReadonlyMap<string, string> {
  return options.format === "raw" ? parseRaw(source) : new EnvFileParser(source, options).parse();
}

function parseRaw(source: Source): ReadonlyMap<string, string> {
  const lines = source.text.split(/\r?\n/).filter((line) => line.includes("=") && !line.startsWith("#"));
  return new Map(lines.map((line) => splitOnce(line, "=")));
}

/** Splits text at the first separator. Without a separator the second part is empty. */
function splitOnce(text: string, separator: string): readonly [string, string] {
  const position = text.indexOf(separator);
  return position < 0 ? [text, ""] : [text.slice(0, position), text.slice(position + separator.length)];
}

/** Parses one file in Compose's format, line by line. */
class EnvFileParser {
  readonly #source: Source;
  readonly #text: string;
  readonly #options: EnvFileOptions;
  readonly #values = new Map<string, string>();
  /** Length of all values so far. */
  #expandedLength = 0;
  /** Offset of the next line to parse. */
  #offset = 0;

  constructor(source: Source, options: EnvFileOptions) {
    this.#source = source;
    this.#text = source.text;
    this.#options = options;
  }

  parse(): ReadonlyMap<string, string> {
    while (this.#offset < this.#text.length) this.#parseLine();
    return this.#values;
  }

  #parseLine(): void {
    const start = this.#offset;
    const lineEnd = this.#lineEnd(start);
    const line = this.#text.slice(start, lineEnd).trim();
    if (line === "" || line.startsWith("#")) {
      this.#offset = lineEnd + 1;
      return;
    }
    ASSIGNMENT.lastIndex = start;
    const [matched = "", key = "", separator = ""] = ASSIGNMENT.exec(this.#text) ?? [];
    const valueStart = start + matched.length;
    if (!KEY.test(key) || (separator === "" && valueStart < lineEnd && this.#text[valueStart] !== "\r")) {
      this.#error(start, lineEnd, `${JSON.stringify(line.slice(0, 40))} is not NAME=VALUE`);
      this.#offset = lineEnd + 1;
      return;
    }
    if (separator === "") {
      this.#assignInherited(key, lineEnd);
    } else {
      this.#assign(key, valueStart, lineEnd);
    }
  }

  /** Sets a key without `=` to its value in the environment, if there is one. */
  #assignInherited(key: string, lineEnd: number): void {
    const value = this.#options.lookup(key);
    if (value !== undefined) this.#values.set(key, value);
    this.#offset = lineEnd + 1;
  }

  #assign(key: string, valueStart: number, lineEnd: number): void {
    const quote = this.#text[valueStart];
    if (valueStart < lineEnd && (quote === '"' || quote === "'")) {
      this.#assignQuoted(key, valueStart, quote);
    } else {
      const value = ` ${this.#text.slice(Math.min(valueStart, lineEnd), lineEnd)}`
        .replace(INLINE_COMMENT, "")
        .trim();
      this.#set(key, value, valueStart);
      this.#offset = lineEnd + 1;
    }
  }

  #assignQuoted(key: string, open: number, quote: string): void {
    let close = this.#text.indexOf(quote, open + 1);
    while (close >= 0 && isEscaped(this.#text, close)) close = this.#text.indexOf(quote, close + 1);
    if (close < 0) {
      this.#error(open, this.#lineEnd(open), `unclosed quote in the value of ${key}`);
      this.#offset = this.#text.length;
      return;
    }
    const content = this.#text.slice(open + 1, close).replaceAll("\r\n", "\n");
    if (quote === "'") {
      this.#values.set(key, content.replaceAll("\\'", "'"));
    } else {
      this.#set(
        key,
        content.replace(ESCAPE, (_, letter: string) => ESCAPED[letter] ?? letter),
        open,
      );
    }
    this.#offset = this.#lineEnd(close) + 1;
  }

  #set(key: string, template: string, start: number): void {
    const { lookup, diagnostics } = this.#options;
    const result = interpolate(template, (name) => lookup(name) ?? this.#values.get(name));
    if (result.kind === "invalid") {
      this.#error(start, start, result.message);
      return;
    }
    this.#expandedLength += result.text.length;
    if (this.#expandedLength > MAX_EXPANDED_LENGTH) {
      this.#error(
        start,
        start,
        `the file has more than ${MAX_EXPANDED_LENGTH} characters with its variables`,
      );
      return;
    }
    for (const name of result.unset) {
      const message = `variable ${name} is not set: using an empty string`;
      diagnostics.warn({ position: this.#position(start, start), path: key }, message);
    }
    this.#values.set(key, result.text);
  }

  #lineEnd(from: number): number {
    const end = this.#text.indexOf("\n", from);
    return end < 0 ? this.#text.length : end;
  }

  #error(start: number, end: number, message: string): void {
    this.#options.diagnostics.error({ position: this.#position(start, end), path: "" }, message);
  }

  #position(start: number, end: number): SourceSpan {
    return { source: this.#source, start, end };
  }
}

function isEscaped(text: string, index: number): boolean {
  let backslashes = 0;
  while (text[index - 1 - backslashes] === "\\") backslashes += 1;
  return backslashes % 2 === 1;
}
