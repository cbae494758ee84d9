import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { DiskWatch, lowSpaceProblem } from "./watch-disk.js";

const ROOMY = { bsize: 4_096, bavail: 1_000_000, files: 1_000, ffree: 900 };

test("a disk with space has no problem, with or without a number of inodes", () => {
  expect(lowSpaceProblem("/d", ROOMY)).toBeUndefined();
  expect(lowSpaceProblem("/d", { ...ROOMY, files: 0, ffree: 0 })).toBeUndefined();
});

test("a disk with few blocks or inodes is reported with its directory", () => {
  const { isCritical, message } = lowSpaceProblem("/d", { ...ROOMY, bavail: 8_192 }) ?? {};
  expect([isCritical, message]).toEqual([
    false,
    expect.stringMatching(/^the disk of \/d has only 32 MiB free; /),
  ]);
  expect(lowSpaceProblem("/d", { ...ROOMY, bavail: 1_024 })).toMatchObject({ isCritical: true });
  expect(lowSpaceProblem("/d", { ...ROOMY, ffree: 9 })?.message).toMatch(/has only 9 inodes free; /);
});

test("reports a directory that has disappeared", async () => {
  const problem = await new DiskWatch(`${tmpdir()}/berth-no-such-directory`).check();
  expect(problem).toMatchObject({ isCritical: true, message: expect.stringContaining("ENOENT") });
});
