import fc from "fast-check";
import { expect, test } from "vitest";
import { demux, rawOutput } from "./demux.js";
import { logLines, parseTimestamp } from "./logs.js";

const TIME = "2026-01-02T03:04:05.678901234Z";
const TIME_NS = `${Date.parse("2026-01-02T03:04:05Z") / 1_000}678901234`;

function frame(stream: 1 | 2, text: string): Buffer {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** Yields the bytes in chunks of these sizes, which repeat. */
async function* chunked(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let start = 0, turn = 0; start < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(start, start + size);
    start += size;
  }
}

async function linesOf(chunks: AsyncIterable<Buffer>, tty = false): Promise<string[]> {
  const lines: string[] = [];
  for await (const { stream, timeNs, line } of logLines(tty ? rawOutput(chunks) : demux(chunks))) {
    lines.push(`${stream} ${timeNs} ${line}`);
  }
  return lines;
}

test("logLines yields the same lines regardless of chunk boundaries", async () => {
  const bytes = Buffer.concat([
    frame(1, `${TIME} one\n`),
    frame(2, `${TIME} tw`),
    frame(1, `${TIME} three\n${TIME} \n`),
    frame(2, "o\r\n"),
    frame(1, `${TIME} no end`),
  ]);
  const expected = [
    `stdout ${TIME_NS} one`,
    `stdout ${TIME_NS} three`,
    `stdout ${TIME_NS} `,
    `stderr ${TIME_NS} two`,
    `stdout ${TIME_NS} no end`,
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
      async (sizes) => {
        expect(await linesOf(chunked(bytes, sizes))).toEqual(expected);
      },
    ),
    { numRuns: 50 },
  );
});

test("logLines reads the unframed output of a terminal", async () => {
  const bytes = Buffer.from(`${TIME} one\r\n${TIME} two\r\n`);
  expect(await linesOf(chunked(bytes, [7]), true)).toEqual([
    `stdout ${TIME_NS} one`,
    `stdout ${TIME_NS} two`,
  ]);
});

test.each([false, true])(
  "logLines joins the pieces of a long line without their timestamps (tty %s)",
  async (tty) => {
    const text = Array.from({ length: 5_000 }, (_, index) => `word ${index}`).join(" ");
    const later = TIME.replace("678901234Z", "678901299Z");
    const pieces = [
      text.slice(0, 16_384),
      text.slice(16_384, 32_768),
      `${text.slice(32_768)}${tty ? "\r" : ""}\n`,
    ];
    const messages = pieces.map((piece, index) => `${index === 0 ? TIME : later} ${piece}`);
    const bytes = Buffer.concat(messages.map((message) => (tty ? Buffer.from(message) : frame(1, message))));
    for (const size of [1_000, 65_536]) {
      expect(await linesOf(chunked(bytes, [size]), tty)).toEqual([`stdout ${TIME_NS} ${text}`]);
    }
  },
);

test("logLines divides a line of many pieces between them", async () => {
  const piece = "y".repeat(16_384);
  const bytes = Buffer.from(`${`${TIME} ${piece}`.repeat(9)}\n`);
  const lines = await linesOf(chunked(bytes, [10_000]), true);
  expect(lines).toEqual([4, 4, 1].map((pieces) => `stdout ${TIME_NS} ${piece.repeat(pieces)}`));
});

test("logLines splits a line without end instead of buffering it", async () => {
  const bytes = Buffer.alloc(200_000, "x");
  const lines = await linesOf(chunked(bytes, [10_000]), true);
  expect(lines.length).toBeGreaterThan(1);
  expect(lines.map((line) => line.split(" ")[2]).join("")).toBe("x".repeat(200_000));
});

test("parseTimestamp keeps nine digits and pads shorter fractions", () => {
  expect(parseTimestamp(TIME)).toBe(TIME_NS);
  expect(parseTimestamp("1970-01-01T00:00:01.5Z")).toBe("1500000000");
  expect(parseTimestamp("1970-01-01T01:00:01+01:00")).toBe("1000000000");
  expect(parseTimestamp("yesterday")).toBeUndefined();
});
