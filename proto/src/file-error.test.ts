import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { describeFileError, diskError } from "./file-error.js";

test("names the file, the fault and what to do for a full disk", async () => {
  // Linux fails every write to this device with ENOSPC. The error of a write does not name the file.
  const error = await writeFile("/dev/full", "text").catch((reason: unknown) => reason);
  expect(diskError(error, "/data/state.json")).toMatchObject({
    code: "BERTH_DISK_FAILED",
    message: "cannot use /data/state.json: the disk is full; free some space on it (ENOSPC)",
    details: { path: "/data/state.json" },
  });
});

test("prefers the path that the error names", () => {
  const error = Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS", path: "/data/a" });
  expect(describeFileError(error, "/data")).toMatch(/^cannot use \/data\/a: the file system is read-only; /);
});

test.each([new SyntaxError("Unexpected end of JSON input"), { code: "ENOENT" }, "text", undefined])(
  "is no error of the disk: %s",
  (error) => {
    expect(diskError(error, "/data")).toBeUndefined();
  },
);

test("returns the text of any other error", () => {
  expect(describeFileError(new Error("why"), "/data")).toBe("why");
});
