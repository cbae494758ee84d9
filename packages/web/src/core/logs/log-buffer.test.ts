import { describe, expect, it } from "vitest";
import { decodeLogMessage, LogBuffer, MAX_LOG_LINES, searchLines } from "./log-buffer.js";

const message = (text: string) => ({
  line: {
    taskId: "t1",
    serviceName: "shop_web",
    slot: 2,
    nodeHostname: "h1",
    entry: {
      stream: "STREAM_STDERR",
      timeNs: "1764588000000000123",
      line: Buffer.from(text).toString("base64"),
    },
  },
});

describe("decodeLogMessage", () => {
  it("reads a line with its source and time", () => {
    expect(decodeLogMessage(message("café"))).toEqual({
      taskId: "t1",
      source: "shop_web.2",
      hostname: "h1",
      timeMs: 1_764_588_000_000,
      kind: "stderr",
      text: "café",
    });
  });

  it("removes escape sequences and control characters", () => {
    expect(decodeLogMessage(message(`${"\u001b[1;31m"}red${"\u001b[0m"}\ta\u0007b`))?.text).toBe("red\tab");
  });

  it("reads a warning, and ignores messages of unknown kinds", () => {
    expect(decodeLogMessage({ warning: "node h2 is down" })).toMatchObject({
      kind: "warning",
      text: "node h2 is down",
    });
    expect(decodeLogMessage({ other: 1 })).toBeUndefined();
  });

  it("reads a line with invalid Base64 as empty", () => {
    const invalid = message("x");
    expect(decodeLogMessage({ line: { ...invalid.line, entry: { line: "%%%" } } })?.text).toBe("");
  });
});

describe("LogBuffer", () => {
  it("keeps the last lines, with their numbers", () => {
    const buffer = new LogBuffer();
    const line = decodeLogMessage(message("x"));
    if (line === undefined) throw new Error("the message has no line");
    buffer.add(new Array(MAX_LOG_LINES).fill(line));
    buffer.add([line, line]);
    expect(buffer.lines).toHaveLength(MAX_LOG_LINES);
    expect(buffer.lines.at(-1)?.number).toBe(MAX_LOG_LINES + 1);
  });
});

describe("searchLines", () => {
  it("finds text in sources and lines, ignoring case", () => {
    const buffer = new LogBuffer();
    const line = {
      taskId: "t1",
      source: "shop_web.1",
      hostname: "h1",
      timeMs: 0,
      kind: "stdout" as const,
      text: "GET /",
    };
    buffer.add([line, { ...line, text: "POST /" }]);
    expect(searchLines(buffer.lines, "post").map(({ text }) => text)).toEqual(["POST /"]);
    expect(searchLines(buffer.lines, "web.1")).toHaveLength(2);
  });
});
