import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { StreamedLayer } from "./saved-layer.js";

const { signal } = new AbortController();

async function readAll(layer: StreamedLayer, offset: number): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of layer.read(offset)) chunks.push(chunk);
  return chunks;
}

test.each([0, 1, 65_536, 100_000, 600_000])(
  "StreamedLayer yields the bytes from offset %i in few chunks",
  async (offset) => {
    const content = randomBytes(600_000);
    const pieces = Array.from({ length: 10 }, (_, index) =>
      content.subarray(index * 65_536, (index + 1) * 65_536),
    );
    const layer = new StreamedLayer("sha256:a", Readable.from(pieces));
    const chunks = await readAll(layer, offset);
    expect(Buffer.concat(chunks).equals(content.subarray(offset))).toBe(true);
    expect(chunks.length).toBeLessThanOrEqual(3);
    await layer.whenRead(signal);
  },
);

test("StreamedLayer ends the wait for its reader when the signal aborts", async () => {
  const leaving = new AbortController();
  const waiting = new StreamedLayer("sha256:a", Readable.from([])).whenRead(leaving.signal);
  leaving.abort(new Error("the push has ended"));
  await expect(waiting).rejects.toThrow("the push has ended");
});
