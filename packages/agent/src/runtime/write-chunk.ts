import type { Writable } from "node:stream";

/** Writes bytes to a stream. Resolves when the stream accepts more bytes, or when it is closed. */
export function writeChunk(stream: Writable, bytes: Uint8Array): Promise<void> {
  if (stream.writableEnded || stream.destroyed || stream.write(bytes)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.once("drain", done);
    stream.once("close", done);
  });
}
