import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { gatherChunks, type StreamChunk } from "./gather-chunks.js";

type Chunk = StreamChunk<"stdout" | "stderr">;

const out = (text: string): Chunk => ({ stream: "stdout", bytes: Buffer.from(text) });
const err = (text: string): Chunk => ({ stream: "stderr", bytes: Buffer.from(text) });

async function* from(chunks: readonly Chunk[], error?: Error): AsyncGenerator<Chunk> {
  yield* chunks;
  if (error !== undefined) throw error;
}

async function collect(source: AsyncIterable<Chunk>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { stream, bytes } of gatherChunks(source)) texts.push(`${stream} ${Buffer.from(bytes)}`);
  return texts;
}

test("gatherChunks joins neighboring chunks of the same stream", async () => {
  const chunks = [out("a"), out("b"), err("c"), out("d"), out("e")];
  expect(await collect(from(chunks))).toEqual(["stdout ab", "stderr c", "stdout de"]);
  expect(await collect(from([]))).toEqual([]);
});

test("gatherChunks yields a chunk although the source waits", async () => {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const source = async function* (): AsyncGenerator<Chunk> {
    yield out("prompt");
    await ended;
    yield out("end");
  };
  const chunks = gatherChunks(source());
  expect(String((await chunks.next()).value?.bytes)).toBe("prompt");
  end();
  expect(String((await chunks.next()).value?.bytes)).toBe("end");
  expect((await chunks.next()).done).toBe(true);
});

test("gatherChunks throws the error of the source after its chunks", async () => {
  const chunks = gatherChunks(from([out("a"), out("b")], new Error("it broke")));
  expect(String((await chunks.next()).value?.bytes)).toBe("ab");
  await expect(chunks.next()).rejects.toThrow("it broke");
});

test("gatherChunks reads at most 256 KiB ahead of its consumer, and yields no larger chunks", async () => {
  let read = 0;
  const source = async function* (): AsyncGenerator<Chunk> {
    for (; read < 100; read += 1) yield out("x".repeat(100 * 1024));
  };
  const chunks = gatherChunks(source());
  await chunks.next();
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  expect(read).toBeLessThan(8);
  for await (const { bytes } of chunks) expect(bytes.length).toBeLessThanOrEqual(256 * 1024);
  expect(read).toBe(100);
});

test("gatherChunks ends the source when its consumer stops early", async () => {
  let hasEnded = false;
  const source = async function* (): AsyncGenerator<Chunk> {
    try {
      for (;;) yield out("x".repeat(300 * 1024));
    } finally {
      hasEnded = true;
    }
  };
  for await (const _ of gatherChunks(source())) break;
  await expect.poll(() => hasEnded).toBe(true);
});
