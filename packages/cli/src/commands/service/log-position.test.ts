import { LogLine, StreamLogsRequest } from "@berth/proto";
import { expect, test } from "vitest";
import { LogPosition } from "./log-position.js";

const line = (taskId: string, timeMs: number): LogLine =>
  LogLine.fromPartial({ taskId, entry: { timeNs: `${timeMs}000000` } });

test("LogPosition resumes shortly before the newest line and filters duplicates", () => {
  const position = new LogPosition(StreamLogsRequest.fromPartial({ tail: 10, follow: true }), 1_000);
  expect(position.nextRequest()).toMatchObject({ tail: 10, sinceMs: 0 });
  expect([line("a", 20_000), line("b", 30_000)].map((logLine) => position.recordLine(logLine))).toEqual([
    true,
    true,
  ]);
  expect(position.nextRequest()).toMatchObject({ tail: -1, sinceMs: 25_000, follow: true });
  const repeated = [line("b", 30_000), line("a", 20_001), line("b", 30_001), line("c", 29_000)];
  expect(repeated.map((logLine) => position.recordLine(logLine))).toEqual([false, true, true, true]);
});

test("LogPosition keeps lines without a time, which do not change where the log resumes", () => {
  const position = new LogPosition(StreamLogsRequest.fromPartial({ tail: 0 }), 1_000);
  const untimed = LogLine.fromPartial({ taskId: "a", entry: { timeNs: "" } });
  position.nextRequest();
  expect(position.recordLine(untimed)).toBe(true);
  expect(position.nextRequest()).toMatchObject({ sinceMs: 1_000 });
  expect(position.recordLine(line("a", 20_000))).toBe(true);
  position.nextRequest();
  expect(position.recordLine(untimed)).toBe(true);
});

test("LogPosition without a line resumes at the original start", () => {
  const fromNow = new LogPosition(StreamLogsRequest.fromPartial({ tail: 0 }), 1_000);
  fromNow.nextRequest();
  expect(fromNow.nextRequest()).toMatchObject({ tail: -1, sinceMs: 1_000 });
  const all = new LogPosition(StreamLogsRequest.fromPartial({ tail: -1, sinceMs: 400 }), 1_000);
  all.nextRequest();
  expect(all.nextRequest()).toMatchObject({ tail: -1, sinceMs: 400 });
});
