import { closeSync, fstatSync, openSync } from "node:fs";
import { expect, it } from "vitest";
import { formatJournalLine, isJournal } from "./journal.js";

it.each([
  [10, 7],
  [20, 7],
  [30, 6],
  [35, 6],
  [40, 4],
  [50, 3],
  [60, 2],
])("formatJournalLine() gives level %d the priority %d", (level, priority) => {
  expect(formatJournalLine(JSON.stringify({ level, msg: "hello" }))).toBe(`<${priority}>hello\n`);
});

it("formatJournalLine() writes one line with the fields that the journal does not have", () => {
  const time = 1_700_000_000_000;
  const err = { type: "Error", message: "no such file", stack: "Error: no such file\n    at open" };
  const line = {
    level: 50,
    time,
    pid: 7,
    hostname: "h1",
    name: "berth-agent",
    part: "dns",
    err,
    msg: "a\nb",
  };
  expect(formatJournalLine(JSON.stringify(line))).toBe(
    '<3>a b part="dns" err={"type":"Error","message":"no such file","stack":"Error: no such file\\n    at open"}\n',
  );
  expect(formatJournalLine("{}")).toBe("<7>\n");
});

it("isJournal() compares the open file with JOURNAL_STREAM", () => {
  const fd = openSync("/dev/null", "r");
  try {
    const { dev, ino } = fstatSync(fd);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino + 1}` })).toBe(false);
    expect(isJournal(fd, {})).toBe(false);
  } finally {
    closeSync(fd);
  }
});
