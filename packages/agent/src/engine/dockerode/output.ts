import type { LogRecord, OutputChunk } from "../engine.js";
import { parseTimestamp } from "./timestamp.js";

/** Docker itself cuts lines into pieces of 16 KiB; a terminal's output may have no line ends at all. */
const MAX_LINE_BYTES = 64 * 1024;

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;

/** Joins chunks to lines, each stream for itself, and takes the time stamp off that Docker puts before each. */
export async function* logLines(chunks: AsyncIterable<OutputChunk>): AsyncGenerator<LogRecord> {
  const rests = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  const times = { stdout: "0", stderr: "0" };
  const toRecord = (stream: LogRecord["stream"], line: Buffer): LogRecord => {
    const record = parseLine(stream, line, times[stream]);
    times[stream] = record.timeNs;
    return record;
  };
  for await (const { stream, bytes } of chunks) {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield toRecord(stream, Buffer.concat([rests[stream], bytes.subarray(start, end)]));
      rests[stream] = Buffer.alloc(0);
      start = end + 1;
    }
    rests[stream] = Buffer.concat([rests[stream], bytes.subarray(start)]);
    if (rests[stream].length > MAX_LINE_BYTES) {
      yield toRecord(stream, rests[stream]);
      rests[stream] = Buffer.alloc(0);
    }
  }
  for (const stream of ["stdout", "stderr"] as const) {
    if (rests[stream].length > 0) yield toRecord(stream, rests[stream]);
  }
}

/** `2026-01-02T03:04:05.678901234Z text` */
function parseLine(stream: LogRecord["stream"], line: Buffer, lastTimeNs: string): LogRecord {
  const end = line.at(-1) === CARRIAGE_RETURN ? line.length - 1 : line.length;
  const space = line.indexOf(SPACE);
  const timeNs = parseTimestamp(line.subarray(0, space < 0 ? end : space).toString());
  // The later pieces of a very long line have no time stamp of their own: they belong to the one before.
  if (timeNs === undefined) return { stream, timeNs: lastTimeNs, line: line.subarray(0, end) };
  return { stream, timeNs, line: space < 0 ? Buffer.alloc(0) : line.subarray(space + 1, end) };
}
