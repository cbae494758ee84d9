// The documents about security name the tests that show what they say.
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const FILE = /`((?:packages|proto|test)\/[^`*]+\.test\.ts)`/g;
const TITLE = /(?<!\*)\*([^*`|]{10,})\*(?!\*)/g;

function read(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

function matches(text: string, pattern: RegExp): readonly string[] {
  return [...text.matchAll(pattern)].map(([, match = ""]) => match);
}

/** Returns the cells with the tests of a document's tables: the last one of each row. */
function testCells(document: string): readonly string[] {
  return read(document)
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.split(" | ").at(-1) ?? "");
}

test.each(["docs/security.md", "docs/security-findings.md"])("the tests that %s names exist", (document) => {
  const files = testCells(document).flatMap((cell) => matches(cell, FILE));
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => !existsSync(new URL(file, ROOT)))).toEqual([]);
});

test("the titles of tests that docs/security-findings.md names exist in their files", () => {
  const named = testCells("docs/security-findings.md").flatMap((cell) =>
    // A file and its titles are separated from the next file by a semicolon.
    cell.split(/;\s*(?=`)/).map((part) => ({ files: matches(part, FILE), titles: matches(part, TITLE) })),
  );
  const missing = named.flatMap(({ files, titles }) => {
    const text = files.map(read).join("\n");
    return titles.filter((title) => !text.includes(title.replace(/…$/, "").trim()));
  });
  expect(named.flatMap(({ titles }) => titles).length).toBeGreaterThan(15);
  expect(missing).toEqual([]);
});
