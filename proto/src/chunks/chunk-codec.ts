/** Wire type of bytes and of nested messages: a length, and so many bytes. */
const LENGTH_DELIMITED = 2;
const LARGEST_FIELD = 15;
/** Bits of a number in each byte. The highest bit says that another byte follows. */
const VARINT_BITS = 7;
const VARINT_MASK = 0x7f;
/** A length has at most 32 bits. */
const MAX_VARINT_BYTES = 5;

/**
 * Returns the encoding of a message with these bytes. Copies the bytes once. The generated code copies them three times,
 * and allocates four times their size, which the garbage collector then has to free.
 */
export function encodeChunk(path: readonly number[], bytes: Uint8Array): Buffer {
  const header: number[] = [];
  let length = bytes.length;
  for (const field of path.toReversed()) {
    const prefix = [tagOf(field), ...varint(length)];
    header.unshift(...prefix);
    length += prefix.length;
  }
  const encoded = Buffer.allocUnsafe(length);
  encoded.set(header);
  encoded.set(bytes, header.length);
  return encoded;
}

/** Returns the bytes in an encoded message, without a copy. Undefined when the message has anything else. */
export function decodeChunk(path: readonly number[], encoded: Buffer): Buffer | undefined {
  let offset = 0;
  for (const field of path) {
    if (encoded[offset] !== tagOf(field)) return undefined;
    const length = readVarint(encoded, offset + 1);
    if (length === undefined || length.end + length.value !== encoded.length) return undefined;
    offset = length.end;
  }
  return encoded.subarray(offset);
}

function tagOf(field: number): number {
  if (field < 1 || field > LARGEST_FIELD) throw new Error(`field ${field} has no tag of one byte`);
  return (field << 3) | LENGTH_DELIMITED;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > VARINT_MASK; rest >>>= VARINT_BITS) bytes.push((rest & VARINT_MASK) | (VARINT_MASK + 1));
  return [...bytes, rest];
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
