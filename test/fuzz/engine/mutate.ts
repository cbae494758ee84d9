import type { Rng } from "../../sim/simulator/rng.js";

export interface MutationContext {
  readonly rng: Rng;
  readonly tokens: readonly Buffer[];
  /** Other inputs to combine this one with. */
  readonly others: readonly Buffer[];
  readonly maxBytes: number;
}

type Mutation = (input: Buffer, context: MutationContext) => Buffer;

/** Bytes at the boundaries of integers, UTF-8 and text. */
const BYTES = [
  0x00, 0x01, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2d, 0x30, 0x5c, 0x7f, 0x80, 0xc0, 0xed, 0xfe, 0xff,
];
/** Integers at the boundaries of their types. */
const INTEGERS = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
/** Maximum number of changes per input. Most inputs get one or two, because more rarely leave an input valid. */
const MAX_CHANGES = 6;
/** Maximum length of a piece that is inserted, removed or copied, except by `repeat`. */
const MAX_PIECE = 64;
/** One mutation in this many makes the input large, to reveal non-linear work. */
const REPEAT_ONE_IN = 200;

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setInteger,
  removePiece,
  insertBytes,
  copyPiece,
  insertToken,
  insertToken,
  replaceByToken,
  changeNumber,
  splice,
];

/** Returns a mutated copy of at most `maxBytes` bytes. The same state of `rng` gives the same result. */
export function mutate(input: Buffer, context: MutationContext): Buffer {
  const { rng, maxBytes } = context;
  let result = input;
  for (let left = rng.int(1, MAX_CHANGES); left > 0; left -= rng.int(1, left)) {
    result = rng.pick(MUTATIONS)(result, context);
  }
  if (rng.int(1, REPEAT_ONE_IN) === 1) result = repeat(result, context);
  return result.subarray(0, maxBytes);
}

/** Splits text seeds into words, so that mutations can insert keywords of the format. */
export function wordsOf(seeds: readonly Buffer[]): readonly string[] {
  const words = seeds.flatMap((seed) => seed.toString("latin1").match(/[A-Za-z_][\w.-]{1,31}/g) ?? []);
  return [...new Set(words)];
}

function flipBit(input: Buffer, { rng }: MutationContext): Buffer {
  if (input.length === 0) return input;
  const copy = Buffer.from(input);
  const index = rng.int(0, copy.length - 1);
  copy[index] = (copy[index] ?? 0) ^ (1 << rng.int(0, 7));
  return copy;
}

function setByte(input: Buffer, { rng }: MutationContext): Buffer {
  if (input.length === 0) return input;
  const copy = Buffer.from(input);
  copy[rng.int(0, copy.length - 1)] = rng.chance(0.5) ? rng.pick(BYTES) : rng.int(0, 255);
  return copy;
}

/** Overwrites 2 or 4 bytes with an integer in network byte order, as in lengths and counts. */
function setInteger(input: Buffer, { rng }: MutationContext): Buffer {
  const size = rng.pick([2, 4]);
  if (input.length < size) return input;
  const copy = Buffer.from(input);
  copy.writeUIntBE(rng.pick(INTEGERS) % 2 ** (8 * size), rng.int(0, copy.length - size), size);
  return copy;
}

function removePiece(input: Buffer, context: MutationContext): Buffer {
  const { start, end } = pickPiece(input, context);
  return Buffer.concat([input.subarray(0, start), input.subarray(end)]);
}

function insertBytes(input: Buffer, { rng }: MutationContext): Buffer {
  const bytes = Array.from({ length: rng.int(1, 8) }, () =>
    rng.chance(0.5) ? rng.pick(BYTES) : rng.int(0, 255),
  );
  return insert(input, rng.int(0, input.length), Buffer.from(bytes));
}

function copyPiece(input: Buffer, context: MutationContext): Buffer {
  const { start, end } = pickPiece(input, context);
  return insert(input, context.rng.int(0, input.length), input.subarray(start, end));
}

function insertToken(input: Buffer, { rng, tokens }: MutationContext): Buffer {
  return tokens.length === 0 ? input : insert(input, rng.int(0, input.length), rng.pick(tokens));
}

function replaceByToken(input: Buffer, context: MutationContext): Buffer {
  const { rng, tokens } = context;
  if (tokens.length === 0) return input;
  const { start, end } = pickPiece(input, context);
  return Buffer.concat([input.subarray(0, start), rng.pick(tokens), input.subarray(end)]);
}

/** Replaces a decimal number in a text. */
function changeNumber(input: Buffer, { rng }: MutationContext): Buffer {
  const numbers = [...input.toString("latin1").matchAll(/\d+/g)];
  if (numbers.length === 0) return input;
  const { 0: digits, index } = rng.pick(numbers);
  const values = ["0", "-1", String(Number(digits) + 1), String(rng.pick(INTEGERS)), "9".repeat(20), "1e999"];
  return Buffer.concat([
    input.subarray(0, index),
    Buffer.from(rng.pick(values)),
    input.subarray(index + digits.length),
  ]);
}

/** Appends the end of another input to the start of this one. */
function splice(input: Buffer, { rng, others }: MutationContext): Buffer {
  if (others.length === 0) return input;
  const other = rng.pick(others);
  return Buffer.concat([
    input.subarray(0, rng.int(0, input.length)),
    other.subarray(rng.int(0, other.length)),
  ]);
}

/** Repeats a piece until the input has its maximum size. */
function repeat(input: Buffer, context: MutationContext): Buffer {
  const { start, end } = pickPiece(input, context);
  if (start === end) return input;
  const piece = input.subarray(start, end);
  const count = Math.floor((context.maxBytes - input.length) / piece.length);
  return count <= 0 ? input : insert(input, start, Buffer.concat(Array<Buffer>(count).fill(piece)));
}

function insert(input: Buffer, index: number, bytes: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, index), bytes, input.subarray(index)]);
}

function pickPiece(
  input: Buffer,
  { rng }: MutationContext,
): { readonly start: number; readonly end: number } {
  const start = rng.int(0, input.length);
  return { start, end: Math.min(input.length, start + rng.int(1, MAX_PIECE)) };
}
