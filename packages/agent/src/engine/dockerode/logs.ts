import type { ObservedContainer } from "../../core/docker/observed-container.js";
import type { LogOptions, LogRecord, OutputChunk } from "../engine.js";
import type { EngineClient } from "./client.js";
import { demux, rawOutput } from "./demux.js";

/** Docker splits a longer line into pieces, and puts a timestamp before each of them. */
const PIECE_BYTES = 16 * 1024;
/** Length of a timestamp with nine digits and of the space after it. */
const TIMESTAMP_BYTES = 31;
/** Maximum length of a line with its timestamps: four pieces. The output of a terminal may have no line breaks at all. */
const MAX_LINE_BYTES = 4 * (TIMESTAMP_BYTES + PIECE_BYTES);

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const RFC3339_NANO = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;
const NS_DIGITS = 9;
const MS_PER_S = 1_000;

/** Yields the lines of a container's log, oldest first. */
export async function* readLogs(
  client: EngineClient,
  container: ObservedContainer,
  { follow, tail, sinceMs, untilMs, signal }: LogOptions,
): AsyncGenerator<LogRecord> {
  const body = await client.stream({
    method: "GET",
    path: `/containers/${encodeURIComponent(container.id)}/logs`,
    query: {
      stdout: "1",
      stderr: "1",
      timestamps: "1",
      follow: follow ? "1" : "0",
      tail: tail < 0 ? "all" : String(tail),
      since: (sinceMs / MS_PER_S).toFixed(3),
      ...(untilMs === 0 ? {} : { until: (untilMs / MS_PER_S).toFixed(3) }),
    },
    signal,
  });
  yield* logLines(container.tty ? rawOutput(body) : demux(body));
}

/** Joins the chunks of each stream into lines, and parses the timestamp that Docker puts before each line. */
export async function* logLines(chunks: AsyncIterable<OutputChunk>): AsyncGenerator<LogRecord> {
  const partialLines = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  const lastTimes = { stdout: "0", stderr: "0" };
  const toRecord = (stream: LogRecord["stream"], line: Buffer): LogRecord => {
    const record = parseLine(stream, line, lastTimes[stream]);
    lastTimes[stream] = record.timeNs;
    return record;
  };
  for await (const { stream, bytes } of chunks) {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield toRecord(stream, Buffer.concat([partialLines[stream], bytes.subarray(start, end)]));
      partialLines[stream] = Buffer.alloc(0);
      start = end + 1;
    }
    partialLines[stream] = Buffer.concat([partialLines[stream], bytes.subarray(start)]);
    while (partialLines[stream].length > MAX_LINE_BYTES) {
      yield toRecord(stream, partialLines[stream].subarray(0, MAX_LINE_BYTES));
      partialLines[stream] = partialLines[stream].subarray(MAX_LINE_BYTES);
    }
  }
  for (const stream of ["stdout", "stderr"] as const) {
    if (partialLines[stream].length > 0) yield toRecord(stream, partialLines[stream]);
  }
}

/** Parses a line such as `2026-01-02T03:04:05.678901234Z text`. */
function parseLine(stream: LogRecord["stream"], line: Buffer, lastTimeNs: string): LogRecord {
  const end = line.at(-1) === CARRIAGE_RETURN ? line.length - 1 : line.length;
  const { timeNs = lastTimeNs, rest } = splitTimestamp(line.subarray(0, end));
  return { stream, timeNs, line: joinPieces(rest) };
}

/** Returns the time at the start of a line or piece, if there is one, and the bytes after it. */
function splitTimestamp(bytes: Buffer): { readonly timeNs: string | undefined; readonly rest: Buffer } {
  const space = bytes.indexOf(SPACE);
  const length = space < 0 ? bytes.length : space;
  const timeNs = parseTimestamp(bytes.subarray(0, length).toString());
  return { timeNs, rest: timeNs === undefined ? bytes : bytes.subarray(length + 1) };
}

/** Removes the timestamps of all pieces but the first, whose timestamp was removed before. */
function joinPieces(line: Buffer): Buffer {
  if (line.length <= PIECE_BYTES) return line;
  const pieces: Buffer[] = [];
  for (let rest = line; rest.length > 0; rest = splitTimestamp(rest.subarray(PIECE_BYTES)).rest) {
    pieces.push(rest.subarray(0, PIECE_BYTES));
  }
  return Buffer.concat(pieces);
}

/** Returns nanoseconds since 1970 as decimal text, or undefined if `text` is not a Docker timestamp. */
export function parseTimestamp(text: string): string | undefined {
  const match = RFC3339_NANO.exec(text);
  if (match === null) return undefined;
  const [, seconds, fraction = "", zone] = match;
  const ms = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(ms) || ms < 0) return undefined;
  return `${ms / MS_PER_S}${fraction.padEnd(NS_DIGITS, "0")}`;
}
