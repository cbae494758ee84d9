import { isUtf8 } from "node:buffer";
import { BerthError } from "@berth/proto";
import { MAX_INPUT_BYTES } from "../../process/read-bounded.js";

/** Character that TextDecoder inserts for an invalid UTF-8 sequence. */
const REPLACEMENT = "\ufffd";

/** The text of one file, with an index of its lines. */
export interface Source {
  /** File name as the user specified it. */
  readonly name: string;
  readonly text: string;
  /** Offset of the start of each line. */
  readonly lineStarts: readonly number[];
}

/** A span of a source, as offsets into its text. `end` is exclusive. */
export interface SourceSpan {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

/** A line and a column, both from 1. Columns count UTF-16 code units, as editors do. */
export interface LineColumn {
  readonly line: number;
  readonly column: number;
}

/**
 * Decodes the bytes of a file as UTF-8, with or without a byte order mark, with any line endings.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID with the position if the file is too large or not text.
 */
export function decodeSource(name: string, bytes: Uint8Array): Source {
  if (bytes.length > MAX_INPUT_BYTES) {
    const message = `the file is larger than ${MAX_INPUT_BYTES} bytes`;
    throw invalidFileError(createSource(name, ""), 0, message);
  }
  const source = createSource(name, new TextDecoder("utf-8").decode(bytes));
  if (!isUtf8(bytes)) {
    const index = source.text.indexOf(REPLACEMENT);
    throw invalidFileError(source, index, "the file is not UTF-8; convert it to UTF-8");
  }
  const nul = source.text.indexOf("\0");
  if (nul >= 0) throw invalidFileError(source, nul, "the file is not text: it contains a NUL byte");
  return source;
}

/** Creates a source from text that is already decoded. */
export function createSource(name: string, text: string): Source {
  const lineStarts = [0];
  for (let index = text.indexOf("\n"); index >= 0; index = text.indexOf("\n", index + 1)) {
    lineStarts.push(index + 1);
  }
  return { name, text, lineStarts };
}

/** Returns the line and column where a position starts. */
export function lineColumn({ source, start }: SourceSpan): LineColumn {
  let low = 0;
  let high = source.lineStarts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((source.lineStarts[middle] ?? 0) <= start) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return { line: low + 1, column: start - (source.lineStarts[low] ?? 0) + 1 };
}

/** Returns the text of a line (from 1) without its line ending. */
export function lineText(source: Source, line: number): string {
  const start = source.lineStarts[line - 1] ?? 0;
  const end = source.lineStarts[line] ?? source.text.length + 1;
  return source.text.slice(start, end - 1).replace(/\r$/, "");
}

function invalidFileError(source: Source, start: number, reason: string): BerthError {
  const { line, column } = lineColumn({ source, start, end: start });
  const message = `${source.name}:${line}:${column}: ${reason}`;
  return new BerthError({ code: "BERTH_COMPOSE_INVALID", message });
}
