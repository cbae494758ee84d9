import { mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createDirectory } from "./create-directory.js";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "berth-directories-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

test("creates a directory and its parents with the mode, several times at once", async () => {
  const path = join(root, "a/b/c");
  await Promise.all([path, path, join(root, "a/b/d")].map((each) => createDirectory(each, 0o700)));
  await createDirectory(path, 0o755);
  const modes = await Promise.all([path, join(root, "a")].map(async (each) => (await stat(each)).mode));
  expect(modes.map((mode) => mode & 0o777)).toEqual([0o700, 0o700]);
});

test("rejects a path in a file system without new directories, instead of waiting forever", async () => {
  for (const path of ["/proc/berth", "/proc/berth/a/b"]) {
    await expect(createDirectory(path)).rejects.toMatchObject({
      code: "BERTH_DISK_FAILED",
      message:
        "cannot create /proc/berth: the file system of /proc does not hold directories; use another directory",
    });
  }
});

test("rejects a path below a file, and a link to nothing", async () => {
  await writeFile(join(root, "file"), "");
  await symlink("missing", join(root, "link"));
  await expect(createDirectory(join(root, "file"))).rejects.toMatchObject({ code: "EEXIST" });
  await expect(createDirectory(join(root, "file/a"))).rejects.toMatchObject({ code: "ENOTDIR" });
  await expect(createDirectory(join(root, "link"))).rejects.toMatchObject({ code: "EEXIST" });
});
