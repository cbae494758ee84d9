import { type FileHandle, mkdtemp, open, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { type ReplacingFileSystem, replaceFile } from "./replace-file.js";

async function createDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "berth-replace-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

/** Returns a file system that records syncs and renames. */
function recordingFileSystem(operations: string[]): ReplacingFileSystem {
  const recordingOpen = async (...args: Parameters<typeof open>): Promise<FileHandle> => {
    const file = await open(...args);
    const sync = file.sync.bind(file);
    file.sync = async () => {
      operations.push(`sync ${args[0]}`);
      await sync();
    };
    return file;
  };
  const recordingRename: typeof rename = async (from, to) => {
    operations.push(`rename to ${to}`);
    await rename(from, to);
  };
  return { open: recordingOpen, rename: recordingRename, rm };
}

it("makes the new text durable before and the rename after the replacement", async () => {
  const directory = await createDirectory();
  const operations: string[] = [];

  await replaceFile({ directory, name: "key", text: "new", mode: 0o600 }, recordingFileSystem(operations));

  const path = join(directory, "key");
  expect(operations).toEqual([`sync ${path}.new`, `rename to ${path}`, `sync ${directory}`]);
  expect(await readFile(path, "utf8")).toBe("new");
});

it("does not write through a link that was left over at the temporary name", async () => {
  const directory = await createDirectory();
  const target = join(directory, "target");
  await symlink(target, join(directory, "key.new"));

  await replaceFile({ directory, name: "key", text: "secret", mode: 0o600 });

  await expect(stat(target)).rejects.toMatchObject({ code: "ENOENT" });
  expect((await stat(join(directory, "key"))).mode & 0o777).toBe(0o600);
});
