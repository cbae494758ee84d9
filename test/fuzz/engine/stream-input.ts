import { EventEmitter } from "node:events";
import type { Socket } from "node:net";

/** A socket that a test feeds with data. */
export class FakeSocket extends EventEmitter {
  destroyed = false;

  destroy(): void {
    this.destroyed = true;
  }

  /** Returns this as the type that parsers take: they only listen for data and destroy the socket. */
  get asSocket(): Socket {
    return this as unknown as Socket;
  }
}

/** Splits bytes into chunks of different sizes. The sizes depend only on the bytes. */
export function chunksOf(bytes: Buffer): readonly Buffer[] {
  const chunks: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const size = 1 + ((bytes[start] ?? 0) % 16) ** 2;
    chunks.push(bytes.subarray(start, start + size));
    start += size;
  }
  return chunks;
}

/** Returns the chunks as an async iterator, like a stream. */
export async function* streamOf<T>(chunks: Iterable<T>): AsyncGenerator<T> {
  yield* chunks;
}

/** Reads a stream to its end. */
export async function collect<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
