import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ETCD_DATA } from "./cluster.js";

// The write-ahead log of etcd 3.4 to 3.6: files of frames. A frame is the length of its record in 8 bytes, the record
// (walpb.Record), and padding to 8 bytes. Each record has the CRC-32C of its data, which continues that of the record
// before. A file begins with the last checksum of the file before. Zeros follow the last frame.

const RECORD_TYPES = { entry: 2, state: 3, checksum: 4 } as const;

/** Numbers of the fields of walpb.Record, raftpb.Entry and raftpb.HardState. */
const RECORD_FIELDS = { type: 1, checksum: 2, data: 3 } as const;
const ENTRY_FIELDS = { term: 2, index: 3 } as const;
const STATE_FIELDS = { term: 1, vote: 2, commit: 3 } as const;

const LENGTH_BYTES = 8;
const RECORD_ALIGNMENT = 8;
/**
 * Mask of a record's length. In the upper byte, the highest bit says that there is padding, and the lowest three say
 * how much.
 */
const LENGTH_MASK = 0x00ff_ffff_ffff_ffffn;
const HAS_PADDING = 0x80;

/** The end of a member's log. */
export interface LogEnd {
  /** Term and index of the last entry on the disk. */
  readonly lastTerm: number;
  readonly lastIndex: number;
  /** Index of the last entry that this member knows to be committed. */
  readonly commit: number;
}

interface HardState {
  readonly term: number;
  readonly commit: number;
}

/** The contents of one log file. */
export interface WalFile {
  readonly entry: { readonly term: number; readonly index: number } | undefined;
  readonly state: HardState | undefined;
  /** Checksum of the last record. */
  readonly checksum: number;
  /** Offset after the last frame. */
  readonly end: number;
}

/**
 * Reads the end of the log of a stopped etcd.
 *
 * @throws BerthError BERTH_ETCD_FAILED if it is missing or damaged
 */
export function readLogEnd(dataDir: string): LogEnd {
  const { entry, state } = readLog(dataDir);
  return { lastTerm: entry.term, lastIndex: entry.index, commit: state.commit };
}

/**
 * Marks all entries of the log as committed. A member that is forced to be the only one discards uncommitted entries,
 * and a follower learns that an entry is committed only after the client has received the response.
 *
 * @throws BerthError BERTH_ETCD_FAILED if the log is missing or damaged
 */
export function commitWholeLog(dataDir: string): void {
  const { path, file, entry, state } = readLog(dataDir);
  if (state.commit >= entry.index) return;
  const frame = encodeState({ ...state, commit: entry.index }, file.checksum);
  const descriptor = openSync(path, "r+");
  try {
    writeSync(descriptor, frame, 0, frame.length, file.end);
    ftruncateSync(descriptor, file.end + frame.length);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

interface Log {
  /** The last file. */
  readonly path: string;
  readonly file: WalFile;
  readonly entry: { readonly term: number; readonly index: number };
  readonly state: HardState;
}

/** Reads the files from the last one backwards, until an entry and a state are found. */
function readLog(dataDir: string): Log {
  const directory = join(dataDir, ETCD_DATA, "wal");
  const files = existsSync(directory) ? readdirSync(directory) : [];
  const names = files
    .filter((name) => name.endsWith(".wal"))
    .sort()
    .reverse();
  let last: { readonly path: string; readonly file: WalFile } | undefined;
  let entry: WalFile["entry"];
  let state: WalFile["state"];
  for (const name of names) {
    const path = join(directory, name);
    const file = parseWalFile(readFileSync(path));
    if (file === undefined) throw damagedLogError(path);
    last ??= { path, file };
    entry ??= file.entry;
    state ??= file.state;
    if (entry !== undefined && state !== undefined) return { ...last, entry, state };
  }
  throw damagedLogError(directory);
}

/** Parses a file of the log. Returns undefined if a record is damaged. */
export function parseWalFile(bytes: Buffer): WalFile | undefined {
  let entry: WalFile["entry"];
  let state: WalFile["state"];
  let checksum = 0;
  let end = 0;
  while (end + LENGTH_BYTES <= bytes.length) {
    const lengthField = bytes.readBigUInt64LE(end);
    if (lengthField === 0n) break;
    const length = Number(lengthField & LENGTH_MASK);
    const flags = Number(lengthField >> 56n);
    const padding = flags >= HAS_PADDING ? flags & (RECORD_ALIGNMENT - 1) : 0;
    const start = end + LENGTH_BYTES;
    if (start + length + padding > bytes.length) return undefined;
    const record = parseFields(bytes.subarray(start, start + length));
    if (record === undefined) return undefined;
    const data = record.bytes.get(RECORD_FIELDS.data) ?? Buffer.alloc(0);
    const type = record.numbers.get(RECORD_FIELDS.type) ?? 0;
    const expected = record.numbers.get(RECORD_FIELDS.checksum) ?? 0;
    // A checksum record starts the chain of a file.
    checksum = type === RECORD_TYPES.checksum ? expected : crc32c(data, checksum);
    if (checksum !== expected) return undefined;
    if (type === RECORD_TYPES.entry) {
      entry = parseEntry(data);
      if (entry === undefined) return undefined;
    } else if (type === RECORD_TYPES.state) {
      state = parseState(data);
      if (state === undefined) return undefined;
    }
    end = start + length + padding;
  }
  return { entry, state, checksum, end };
}

/** Parses a raftpb.Entry. Returns undefined if it is damaged. */
function parseEntry(data: Buffer): WalFile["entry"] {
  const fields = parseFields(data)?.numbers;
  return fields && { term: fields.get(ENTRY_FIELDS.term) ?? 0, index: fields.get(ENTRY_FIELDS.index) ?? 0 };
}

/** Parses a raftpb.HardState. Returns undefined if it is damaged. */
function parseState(data: Buffer): WalFile["state"] {
  const fields = parseFields(data)?.numbers;
  return fields && { term: fields.get(STATE_FIELDS.term) ?? 0, commit: fields.get(STATE_FIELDS.commit) ?? 0 };
}

/** Encodes the frame of a state. */
function encodeState({ term, commit }: HardState, previousChecksum: number): Buffer {
  const { term: termField, vote: voteField, commit: commitField } = STATE_FIELDS;
  const data = new BinaryWriter();
  data.tag(termField, WireType.Varint).uint64(term);
  // The vote does not matter: no other member remains.
  data.tag(voteField, WireType.Varint).uint64(0);
  data.tag(commitField, WireType.Varint).uint64(commit);
  const bytes = Buffer.from(data.finish());
  return encodeFrame(RECORD_TYPES.state, bytes, crc32c(bytes, previousChecksum));
}

/** Encodes the frame of a record. */
export function encodeFrame(type: number, data: Buffer | undefined, checksum: number): Buffer {
  const writer = new BinaryWriter();
  writer.tag(RECORD_FIELDS.type, WireType.Varint).uint64(type);
  writer.tag(RECORD_FIELDS.checksum, WireType.Varint).uint32(checksum);
  if (data !== undefined) writer.tag(RECORD_FIELDS.data, WireType.LengthDelimited).bytes(data);
  const record = Buffer.from(writer.finish());
  const padding = (RECORD_ALIGNMENT - (record.length % RECORD_ALIGNMENT)) % RECORD_ALIGNMENT;
  const flags = padding === 0 ? 0n : BigInt(HAS_PADDING | padding) << 56n;
  const frame = Buffer.alloc(LENGTH_BYTES + record.length + padding);
  frame.writeBigUInt64LE(BigInt(record.length) | flags, 0);
  record.copy(frame, LENGTH_BYTES);
  return frame;
}

/** The fields of a protobuf message by number. Only varints and bytes occur in the log. */
interface Fields {
  readonly numbers: ReadonlyMap<number, number>;
  readonly bytes: ReadonlyMap<number, Buffer>;
}

/** Returns undefined for a message that is damaged, or has fields of other types. */
function parseFields(message: Buffer): Fields | undefined {
  const numbers = new Map<number, number>();
  const bytes = new Map<number, Buffer>();
  const reader = new BinaryReader(message);
  try {
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (type === WireType.Varint) {
        numbers.set(field, Number(reader.uint64()));
      } else if (type === WireType.LengthDelimited) {
        bytes.set(field, Buffer.from(reader.bytes()));
      } else {
        return undefined;
      }
    }
    return { numbers, bytes };
  } catch {
    return undefined;
  }
}

/** The polynomial of CRC-32C (Castagnoli), reflected. */
const CRC32C_POLYNOMIAL = 0x82f6_3b78;
const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ CRC32C_POLYNOMIAL : crc >>> 1;
  return crc;
});

/** Returns the CRC-32C of the data that continues an earlier checksum. */
export function crc32c(data: Buffer, previous = 0): number {
  let crc = ~previous >>> 0;
  for (const byte of data) crc = (CRC32C_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

function damagedLogError(path: string): BerthError {
  return new BerthError({
    code: "BERTH_ETCD_FAILED",
    message: `cannot read the log of etcd in ${path}: it is damaged or incomplete; recover from another server, or restore a backup (berth backup restore)`,
  });
}
