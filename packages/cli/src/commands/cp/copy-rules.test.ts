import { describe, expect, test } from "vitest";
import { type CopyDestination, type CopyPlan, planCopy, renamedEntry } from "./copy-rules.js";
import { parseCopyPath } from "./parse-copy-path.js";

const directory = (path: string) => ({ path, isDirectory: true });
const file = (path: string) => ({ path, isDirectory: false });
const to = (path: string, kind: CopyDestination["kind"]): CopyDestination => ({ path, kind });

describe("planCopy()", () => {
  test.each<[string, Parameters<typeof planCopy>, CopyPlan]>([
    [
      "a file into a directory",
      [file("/a/f"), to("d", "directory")],
      { directory: "d", root: "f", newRoot: "f" },
    ],
    [
      "a file to a new name",
      [file("/a/f"), to("d/g", "missing")],
      { directory: "d", root: "f", newRoot: "g" },
    ],
    ["a file over a file", [file("/a/f"), to("g", "file")], { directory: ".", root: "f", newRoot: "g" }],
    [
      "a directory into a directory",
      [directory("/a/s"), to("d/", "directory")],
      { directory: "d/", root: "s", newRoot: "s" },
    ],
    [
      "a directory to a new name",
      [directory("/a/s/"), to("d/t/", "missing")],
      { directory: "d", root: "s", newRoot: "t" },
    ],
    [
      "contents into a directory",
      [directory("/a/s/."), to("d", "directory")],
      { directory: "d", root: ".", newRoot: "." },
    ],
    [
      "contents to a new name",
      [directory("/a/s/."), to("d/t", "missing")],
      { directory: "d", root: ".", newRoot: "t" },
    ],
    [
      "the root of a container",
      [directory("/"), to("d", "directory")],
      { directory: "d", root: "/", newRoot: "/" },
    ],
  ])("copies %s as docker cp does", (_, [source, destination], plan) => {
    expect(planCopy(source, destination)).toEqual(plan);
  });

  test.each([
    [directory("/a/s"), to("g", "file"), 'cannot copy a directory over the file "g"'],
    [file("/a/f"), to("d/", "missing"), 'the destination directory "d/" does not exist'],
    [file("/a/f"), to("d/.", "missing"), 'the destination directory "d/." does not exist'],
    [file("/a/f"), to("g/", "file"), 'the destination directory "g/" is not a directory'],
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
  expect(renamedEntry(name, { directory: "d", ...names })).toBe(expected);
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
