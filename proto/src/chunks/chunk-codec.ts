/** Wire type of bytes and nested messages: a length, followed by that many bytes. */
const LENGTH_DELIMITED = 2;

/** Largest field number whose tag has one byte. */
const LARGEST_FIELD = 15;
/** Bits of a number in each byte. The highest bit says that another byte follows. */
const VARINT_BITS = 7;
const VARINT_MASK = 0x7f;
/** Maximum number of bytes of a length, which has at most 32 bits. */
const MAX_VARINT_BYTES = 5;

/** Room for the header of a chunk, whose fields have at most two levels. */
const HEADER_ROOM_BYTES = 16;

/** Bytes in front of a chunk that belong to it, and that its encoding may overwrite. */
const roomBefore = new WeakMap<Uint8Array, number>();

/** Returns memory for the next bytes of a stream, with room for their header. Its content is arbitrary. */
export function allocateChunk(size: number): Buffer {
  const chunk = Buffer.allocUnsafe(HEADER_ROOM_BYTES + size).subarray(HEADER_ROOM_BYTES);
  roomBefore.set(chunk, HEADER_ROOM_BYTES);
  return chunk;
}

/** Returns the first bytes of a chunk. The chunk must not be used any more. */
export function shortenChunk(chunk: Buffer, length: number): Buffer {
  const shorter = chunk.subarray(0, length);
  roomBefore.set(shorter, roomBefore.get(chunk) ?? 0);
  return shorter;
}

/**
 * Returns the encoding of a message with these bytes. Does not copy bytes that have room for a header: those of
 * `allocateChunk` and `decodeChunk`. The generated code copies bytes three times, and allocates four times their size,
 * which the garbage collector then has to free.
 */
export function encodeChunk(path: readonly number[], bytes: Uint8Array): Buffer {
  const header: number[] = [];
  let length = bytes.length;
  for (const field of path.toReversed()) {
    const prefix = [tagOf(field), ...varint(length)];
    header.unshift(...prefix);
    length += prefix.length;
  }
  const hasRoom = (roomBefore.get(bytes) ?? 0) >= header.length;
  // The header of another message with the same bytes must not replace this one.
  roomBefore.delete(bytes);
  const encoded = hasRoom
    ? Buffer.from(bytes.buffer, bytes.byteOffset - header.length, length)
    : Buffer.allocUnsafe(length);
  encoded.set(header);
  if (!hasRoom) encoded.set(bytes, header.length);
  return encoded;
}

/**
 * Returns the bytes in an encoded message without copying them, or undefined if the message contains anything else. The
 * encoded message must not be used any more when the bytes are encoded again.
 */
export function decodeChunk(path: readonly number[], encoded: Buffer): Buffer | undefined {
  let offset = 0;
  for (const field of path) {
    if (encoded[offset] !== tagOf(field)) return undefined;
    const length = readVarint(encoded, offset + 1);
    if (length === undefined || length.end + length.value !== encoded.length) return undefined;
    offset = length.end;
  }
  const bytes = encoded.subarray(offset);
  roomBefore.set(bytes, offset);
  return bytes;
}

function tagOf(field: number): number {
  if (field < 1 || field > LARGEST_FIELD) throw new Error(`field ${field} has no tag of one byte`);
  return (field << 3) | LENGTH_DELIMITED;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let remaining = value;
  for (; remaining > VARINT_MASK; remaining >>>= VARINT_BITS) {
    bytes.push((remaining & VARINT_MASK) | (VARINT_MASK + 1));
  }
  return [...bytes, remaining];
}

function readVarint(
  bytes: Buffer,
  start: number,
): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
    const byte = bytes[start + index];
    if (byte === undefined) return undefined;
    value += (byte & VARINT_MASK) * 2 ** (VARINT_BITS * index);
    if (byte <= VARINT_MASK) return { value, end: start + index + 1 };
  }
  return undefined;
}
