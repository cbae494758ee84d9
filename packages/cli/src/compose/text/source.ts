import { isUtf8 } from "node:buffer";
import { BerthError } from "@berth/proto";
import { MAX_INPUT_BYTES } from "../../process/read-bounded.js";

/** What a byte that is no UTF-8 is read as. */
const REPLACEMENT = "\ufffd";

/** The text of one file, with what it takes to say where something stands in it. */
export interface Source {
  /** As the user named it. */
  readonly name: string;
  readonly text: string;
  /** Offset of the start of each line. */
  readonly lineStarts: readonly number[];
}

/** A stretch of a source, as offsets into its text. */
export interface Position {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

/** Both from 1; columns count UTF-16 units, as editors do. */
export interface LineColumn {
  readonly line: number;
  readonly column: number;
}

/**
 * Takes a file's bytes for text: UTF-8, with or without a byte order mark, any line ends.
 * @throws BerthError BERTH_COMPOSE_INVALID, which names the place, when they are not text or too many.
 */
export function decodeSource(name: string, bytes: Uint8Array): Source {
  if (bytes.length > MAX_INPUT_BYTES) {
    const message = `the file has more than ${MAX_INPUT_BYTES} bytes. Is it the right one?`;
    throw invalidFile(sourceOf(name, ""), 0, message);
  }
  const source = sourceOf(name, new TextDecoder("utf-8").decode(bytes));
  if (!isUtf8(bytes)) {
    const at = source.text.indexOf(REPLACEMENT);
    throw invalidFile(source, at, "the file is not UTF-8 text from here on: save it as UTF-8");
  }
  const nul = source.text.indexOf("\0");
  if (nul >= 0) throw invalidFile(source, nul, "here is a NUL byte: the file is not a text file");
  return source;
}

export function sourceOf(name: string, text: string): Source {
  const lineStarts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lineStarts.push(at + 1);
  return { name, text, lineStarts };
}

/** The line and column where a position starts. */
export function lineColumn({ source, start }: Position): LineColumn {
  let low = 0;
  let high = source.lineStarts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((source.lineStarts[middle] ?? 0) <= start) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: start - (source.lineStarts[low] ?? 0) + 1 };
}

/** The text of a line (from 1), without its line end. */
export function lineText(source: Source, line: number): string {
  const start = source.lineStarts[line - 1] ?? 0;
  const end = source.lineStarts[line] ?? source.text.length + 1;
  return source.text.slice(start, end - 1).replace(/\r$/, "");
}

function invalidFile(source: Source, start: number, problem: string): BerthError {
  const { line, column } = lineColumn({ source, start, end: start });
  const message = `${source.name}:${line}:${column}: ${problem}`;
  return new BerthError({ code: "BERTH_COMPOSE_INVALID", message });
}
