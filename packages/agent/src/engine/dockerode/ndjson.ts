/** Bounds the memory for a line. A message of Docker has a few hundred bytes. */
const MAX_LINE_BYTES = 1024 * 1024;

const NEWLINE = 0x0a;

/** Parses one JSON value a line, regardless of chunk boundaries. Drops lines that are not JSON. */
export async function* readNdjson(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  let rest: Uint8Array = new Uint8Array();
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield* parseLine(Buffer.concat([rest, chunk.subarray(start, end)]));
      rest = new Uint8Array();
      start = end + 1;
    }
    rest = Buffer.concat([rest, chunk.subarray(start)]);
    if (rest.length > MAX_LINE_BYTES) throw new Error(`a line of more than ${MAX_LINE_BYTES} bytes`);
  }
  yield* parseLine(Buffer.from(rest));
}

function* parseLine(line: Buffer): Generator<unknown> {
  if (line.length === 0) return;
  try {
    yield JSON.parse(line.toString());
  } catch {
    // The daemon died in the middle of a line. The end of the stream follows.
  }
}
