import { describe, expect, test } from "vitest";
import { type CopyDestination, type CopyPlan, planCopy, renamedEntry } from "./copy-rules.js";
import { parseCopyPath } from "./parse-copy-path.js";

const folder = (path: string) => ({ path, isFolder: true });
const file = (path: string) => ({ path, isFolder: false });
const to = (path: string, kind: CopyDestination["kind"]): CopyDestination => ({ path, kind });

describe("planCopy()", () => {
  test.each<[string, Parameters<typeof planCopy>, CopyPlan]>([
    ["a file into a folder", [file("/a/f"), to("d", "folder")], { folder: "d", root: "f", newRoot: "f" }],
    ["a file to a new name", [file("/a/f"), to("d/g", "missing")], { folder: "d", root: "f", newRoot: "g" }],
    ["a file over a file", [file("/a/f"), to("g", "file")], { folder: ".", root: "f", newRoot: "g" }],
    [
      "a folder into a folder",
      [folder("/a/s"), to("d/", "folder")],
      { folder: "d/", root: "s", newRoot: "s" },
    ],
    [
      "a folder to a new name",
      [folder("/a/s/"), to("d/t/", "missing")],
      { folder: "d", root: "s", newRoot: "t" },
    ],
    [
      "contents into a folder",
      [folder("/a/s/."), to("d", "folder")],
      { folder: "d", root: ".", newRoot: "." },
    ],
    [
      "contents to a new name",
      [folder("/a/s/."), to("d/t", "missing")],
      { folder: "d", root: ".", newRoot: "t" },
    ],
    ["the root of a container", [folder("/"), to("d", "folder")], { folder: "d", root: "/", newRoot: "/" }],
  ])("copies %s as docker cp does", (_, [source, destination], plan) => {
    expect(planCopy(source, destination)).toEqual(plan);
  });

  test.each([
    [folder("/a/s"), to("g", "file"), 'cannot copy a folder over the file "g"'],
    [file("/a/f"), to("d/", "missing"), 'the destination folder "d/" does not exist'],
    [file("/a/f"), to("d/.", "missing"), 'the destination folder "d/." does not exist'],
    [file("/a/f"), to("g/", "file"), 'the destination folder "g/" is not a folder'],
  ])("refuses what docker cp refuses: %j to %j", (source, destination, message) => {
    expect(() => planCopy(source, destination)).toThrow(message);
  });
});

test.each([
  ["s", { root: "s", newRoot: "t" }, "t"],
  ["s/", { root: "s", newRoot: "t" }, "t"],
  ["s/a/b", { root: "s", newRoot: "t" }, "t/a/b"],
  ["sx/a", { root: "s", newRoot: "t" }, undefined],
  ["./", { root: ".", newRoot: "." }, "."],
  ["./a", { root: ".", newRoot: "." }, "a"],
  ["./a", { root: ".", newRoot: "t" }, "t/a"],
  ["./", { root: ".", newRoot: "t" }, "t"],
  ["/", { root: "/", newRoot: "/" }, "."],
])("renamedEntry(%j) renames the root of the archive: %j", (name, names, expected) => {
  expect(renamedEntry(name, { folder: "d", ...names })).toBe(expected);
});

test.each([
  ["web.1:/etc", { kind: "task", target: "web.1", path: "/etc" }],
  ["web:a:b", { kind: "task", target: "web", path: "a:b" }],
  ["./web:1", { kind: "local", path: "./web:1" }],
  ["/tmp/a:b", { kind: "local", path: "/tmp/a:b" }],
  ["file", { kind: "local", path: "file" }],
  ["-", { kind: "stream" }],
])("parseCopyPath(%j) tells tasks from local paths as docker cp does", (text, expected) => {
  expect(parseCopyPath(text)).toEqual(expected);
});
