/** Maximum size of an input file, so that an endless file such as `/dev/zero` is not read. */
export const MAX_INPUT_BYTES = 5_000_000;

/** Reads a stream to its end, or until it exceeds `MAX_INPUT_BYTES`. */
export async function readBounded(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_INPUT_BYTES) break;
  }
  return Buffer.concat(chunks);
}
