/** A single message of Docker's is a few hundred bytes; a line without end must not eat the memory. */
const MAX_LINE_BYTES = 1024 * 1024;

const NEWLINE = 0x0a;

/** JSON values, one a line. They arrive split and glued: chunk borders mean nothing. Lines that are no JSON are dropped. */
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
    // A daemon that dies in the middle of a line: what follows is the end of the stream.
  }
}
