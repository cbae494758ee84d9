import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { commitWholeLog, crc32c, encodeFrame, parseWalFile, readLogEnd } from "./etcd-wal.js";

/** Bytes that etcd allocates for a file in advance. */
const UNUSED = Buffer.alloc(4_096);

let dataDir: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "berth-wal-"));
  mkdirSync(join(dataDir, "member", "wal"), { recursive: true });
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

/** Returns a file of the log with records of these types and data. */
function walFile(
  previousChecksum: number,
  records: readonly (readonly [number, readonly number[]])[],
): Buffer {
  let checksum = previousChecksum;
  const frames = records.map(([type, bytes]) => {
    const data = Buffer.from(bytes);
    checksum = crc32c(data, checksum);
    return encodeFrame(type, data, checksum);
  });
  return Buffer.concat([encodeFrame(4, undefined, previousChecksum), ...frames, UNUSED]);
}

/** Data of an entry and of a state. */
const entry = (term: number, index: number) => [0x08, 0, 0x10, term, 0x18, index, 0x22, 1, 7];
const state = (term: number, commit: number) => [0x08, term, 0x10, 5, 0x18, commit];

const METADATA = [1, [1, 2, 3]] as const;
const FIRST = walFile(0, [METADATA, [3, state(2, 3)], [2, entry(2, 3)], [2, entry(2, 4)], [2, entry(3, 4)]]);

function write(name: string, content: Buffer): void {
  writeFileSync(join(dataDir, "member", "wal", name), content);
}

test("crc32c returns the checksum of the standard's example, also in two parts", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe306_9283);
  expect(crc32c(Buffer.from("6789"), crc32c(Buffer.from("12345")))).toBe(0xe306_9283);
});

describe("the end of the log", () => {
  test("a missing log is an error that says what to do", () => {
    rmSync(join(dataDir, "member"), { recursive: true });
    expect(() => readLogEnd(dataDir)).toThrow(/damaged or incomplete; recover from another server/);
  });

  test("the log ends with the last entry, which replaces an earlier one with the same index", () => {
    write("0000000000000000-0000000000000000.wal", FIRST);
    expect(readLogEnd(dataDir)).toEqual({ lastTerm: 3, lastIndex: 4, commit: 3 });
  });

  test("the log ends in the previous file when the last one has no entry yet", () => {
    write("0000000000000000-0000000000000000.wal", FIRST);
    const checksum = parseWalFile(FIRST)?.checksum ?? 0;
    write("0000000000000001-0000000000000005.wal", walFile(checksum, [METADATA, [3, state(3, 4)]]));
    expect(readLogEnd(dataDir)).toEqual({ lastTerm: 3, lastIndex: 4, commit: 4 });
  });

  test("becomes committed, in the same chain of checksums", () => {
    write("0000000000000000-0000000000000000.wal", FIRST);
    for (let times = 0; times < 2; times += 1) {
      commitWholeLog(dataDir);
      expect(readLogEnd(dataDir)).toEqual({ lastTerm: 3, lastIndex: 4, commit: 4 });
    }
  });

  test.each([
    ["has a changed byte", Buffer.from(FIRST).fill(0xff, 60, 61)],
    ["ends within a record", FIRST.subarray(0, FIRST.length - UNUSED.length - 8)],
  ])("the end of the log is unknown when a file %s", (_, content) => {
    write("0000000000000000-0000000000000000.wal", content);
    expect(() => readLogEnd(dataDir)).toThrow("is damaged or incomplete");
    expect(() => commitWholeLog(dataDir)).toThrow("is damaged or incomplete");
  });

  test("the end of the log is unknown without a file", () => {
    expect(() => readLogEnd(dataDir)).toThrow("is damaged or incomplete");
  });
});
