import { AssignedFile } from "@berth/proto";
import { expect, test } from "vitest";
import { AssignedFiles } from "./assigned-files.js";

const fileWith = (id: string, content: string | Buffer = id): AssignedFile =>
  AssignedFile.fromPartial({ id, content: Buffer.from(content) });
const change = { isComplete: false };
const complete = { isComplete: true };
const idsOf = (contents: ReadonlyMap<string, unknown> | undefined): readonly string[] => [
  ...(contents?.keys() ?? []),
];

test("a complete set replaces all files, and later messages add and remove some", () => {
  const files = new AssignedFiles();
  const one = files.apply({ files: [fileWith("a"), fileWith("b")], removedFileIds: [] }, complete);
  expect(idsOf(one.contents)).toEqual(["a", "b"]);
  const two = files.apply({ files: [fileWith("c")], removedFileIds: ["a"] }, change);
  expect(idsOf(two.contents)).toEqual(["b", "c"]);
  // The view of an earlier message does not change.
  expect(idsOf(one.contents)).toEqual(["a", "b"]);
  expect(files.apply({ files: [], removedFileIds: [] }, change)).toEqual({
    contents: undefined,
    problems: [],
  });
  expect(idsOf(files.apply({ files: [], removedFileIds: [] }, complete).contents)).toEqual([]);
});

test("files that exceed a limit or are empty are ignored, without their contents in the message", () => {
  const files = new AssignedFiles();
  const large = Buffer.alloc(500 * 1024 + 1, "secret");
  const sent = [
    fileWith("ok"),
    fileWith("empty", ""),
    fileWith("large", large),
    fileWith("../etc", "secret"),
  ];
  const { contents, problems } = files.apply({ files: sent, removedFileIds: [] }, complete);
  expect(idsOf(contents)).toEqual(["ok"]);
  expect(problems).toEqual([
    "file empty is empty",
    "file large is larger than 512000 bytes",
    "a file has an invalid ID",
  ]);
});

test("an invalid new version of a file leaves the earlier one in place", () => {
  const files = new AssignedFiles();
  files.apply({ files: [fileWith("a", "first")], removedFileIds: [] }, complete);
  const { contents, problems } = files.apply({ files: [fileWith("a", "")], removedFileIds: [] }, change);
  expect(problems).toEqual(["file a is empty"]);
  expect(String(contents?.get("a")?.content)).toBe("first");
});

test("the number of files and their total size are limited, and removed files make room", () => {
  const many = new AssignedFiles();
  const small = Array.from({ length: 10_001 }, (_, index) => fileWith(`f${index}`));
  const first = many.apply({ files: small, removedFileIds: [] }, complete);
  expect(first.contents?.size).toBe(10_000);
  expect(first.problems).toEqual(["file f10000 exceeds the limit of 10000 files"]);

  const large = new AssignedFiles();
  const content = Buffer.alloc(500 * 1024);
  // All files share one buffer, so that the test needs little memory.
  const sent = Array.from({ length: 525 }, (_, index) => ({ id: `f${index}`, content, isTemplate: false }));
  const full = large.apply({ files: sent, removedFileIds: [] }, complete);
  expect(full.problems).toEqual(["file f524 exceeds the limit of 268435456 bytes for all files"]);
  const replaced = large.apply({ files: [{ ...fileWith("g"), content }], removedFileIds: ["f0"] }, change);
  expect(replaced.problems).toEqual([]);
  expect(large.apply({ files: [], removedFileIds: ["g"] }, change).problems).toEqual([]);
  // A file that is sent again takes the place of its first copy.
  const again = large.apply({ files: sent.slice(-2), removedFileIds: [] }, change);
  expect(again.problems).toEqual([]);
  expect(again.contents?.size).toBe(524);
});
