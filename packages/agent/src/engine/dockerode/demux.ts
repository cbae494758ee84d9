import type { OutputChunk } from "../engine.js";

/** Header of a frame: stream number, three zeros, length of the payload. */
const HEADER_BYTES = 8;
const STDERR = 2;

/**
 * Splits the two streams of a container without a terminal. Reads on only when the consumer asks, and passes payloads
 * on as they come, so that a frame of any size costs no more than its chunks.
 */
export async function* demux(chunks: AsyncIterable<Buffer>): AsyncGenerator<OutputChunk> {
  let header = Buffer.alloc(0);
  let missing = 0;
  let stream: OutputChunk["stream"] = "stdout";
  for await (const chunk of chunks) {
    let rest = chunk;
    while (rest.length > 0) {
      if (missing === 0) {
        const taken = HEADER_BYTES - header.length;
        header = Buffer.concat([header, rest.subarray(0, taken)]);
        rest = rest.subarray(taken);
        if (header.length < HEADER_BYTES) break;
        stream = header[0] === STDERR ? "stderr" : "stdout";
        missing = header.readUInt32BE(4);
        header = Buffer.alloc(0);
      }
      const bytes = rest.subarray(0, missing);
      rest = rest.subarray(bytes.length);
      missing -= bytes.length;
      if (bytes.length > 0) yield { stream, bytes };
    }
  }
}

/** The output of a container with a terminal: one stream, unframed. */
export async function* rawOutput(chunks: AsyncIterable<Buffer>): AsyncGenerator<OutputChunk> {
  for await (const bytes of chunks) yield { stream: "stdout", bytes };
}
