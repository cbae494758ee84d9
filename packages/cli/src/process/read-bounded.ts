/** Real Compose files are a few KiB; past this something else was named by mistake, `/dev/zero` for one. */
export const MAX_INPUT_BYTES = 5_000_000;

/** Everything that a stream gives, or its beginning when that is more than anybody takes. */
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
