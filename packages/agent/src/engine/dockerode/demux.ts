import type { OutputChunk } from "../engine.js";

/** Size of a frame header: one byte for the stream, three zeros, and four bytes for the length of the payload. */
const HEADER_BYTES = 8;
const STDERR_STREAM = 2;

/**
 * Splits the output of a container without a terminal into its two streams. Reads no further than the consumer, and
 * yields payloads as they arrive, so that a large frame is never buffered.
 */
export async function* demux(chunks: AsyncIterable<Buffer>): AsyncGenerator<OutputChunk> {
  let header = Buffer.alloc(0);
  let missingBytes = 0;
  let stream: OutputChunk["stream"] = "stdout";
  for await (const chunk of chunks) {
    let remaining = chunk;
    while (remaining.length > 0) {
      if (missingBytes === 0) {
        const headerGap = HEADER_BYTES - header.length;
        header = Buffer.concat([header, remaining.subarray(0, headerGap)]);
        remaining = remaining.subarray(headerGap);
        if (header.length < HEADER_BYTES) break;
        stream = header[0] === STDERR_STREAM ? "stderr" : "stdout";
        missingBytes = header.readUInt32BE(4);
        header = Buffer.alloc(0);
      }
      const bytes = remaining.subarray(0, missingBytes);
      remaining = remaining.subarray(bytes.length);
      missingBytes -= bytes.length;
      if (bytes.length > 0) yield { stream, bytes };
    }
  }
}

/** Yields the output of a container with a terminal: one stream without frames. */
export async function* rawOutput(chunks: AsyncIterable<Buffer>): AsyncGenerator<OutputChunk> {
  for await (const bytes of chunks) yield { stream: "stdout", bytes };
}
