import { createHash } from "node:crypto";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Headers, pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  extractShipped,
  MAX_SHIPPED_BYTES,
  MAX_SHIPPED_ENTRIES,
  packShipped,
  type ShippedSize,
} from "./shipped-archive.js";

let root = "";

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "berth-shipped-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of packShipped(path)) hash.update(chunk);
  return hash.digest("hex");
}

const extract = (archive: AsyncIterable<Uint8Array>): Promise<void> =>
  extractShipped(archive, { path: join(root, "to"), ownerOffset: { uid: 0, gid: 0 } });

async function* archiveOf(entries: readonly (Headers & { readonly content?: string })[]) {
  const archive = pack();
  for (const { content, ...header } of entries) archive.entry(header, content ?? "");
  archive.finalize();
  for await (const chunk of archive) yield chunk as Uint8Array;
}

async function makeDirectory(name: string, files: readonly string[]): Promise<string> {
  const directory = join(root, name);
  await mkdir(join(directory, "sub"), { recursive: true });
  for (const file of files) await writeFile(join(directory, file), file);
  return directory;
}

describe("the archive of a shipped mount", () => {
  test("depends on the files and their modes, but not on their times and the order of their creation", async () => {
    const first = await makeDirectory("a", ["x", "sub/y", "z"]);
    const second = await makeDirectory("b", ["z", "sub/y", "x"]);
    await utimes(join(second, "x"), 1_000, 1_000);
    const digest = await digestOf(first);
    expect(await digestOf(second)).toBe(digest);
    await chmod(join(second, "x"), 0o700);
    expect(await digestOf(second)).not.toBe(digest);
  });

  test("restores a directory with its modes and links", async () => {
    const directory = await makeDirectory("from", ["run.sh", "sub/y"]);
    await chmod(join(directory, "run.sh"), 0o750);
    await symlink("/etc/hostname", join(directory, "outside"));
    const sizes: ShippedSize[] = [];
    await extract(packShipped(directory, (size) => void sizes.push(size)));
    const shipped = join(root, "to");
    expect((await readdir(shipped)).toSorted()).toEqual(["outside", "run.sh", "sub"]);
    expect(await readFile(join(shipped, "sub/y"), "utf8")).toBe("sub/y");
    expect((await lstat(join(shipped, "run.sh"))).mode & 0o7777).toBe(0o750);
    expect(await readlink(join(shipped, "outside"))).toBe("/etc/hostname");
    expect(sizes.at(-1)).toEqual({ entries: 5, files: 2, bytes: "run.sh".length + "sub/y".length });
  });

  test("an archive of a link to a file contains the file", async () => {
    await writeFile(join(root, "nginx.conf"), "events {}");
    await symlink("nginx.conf", join(root, "link"));
    await extract(packShipped(join(root, "link")));
    expect(await readFile(join(root, "to"), "utf8")).toBe("events {}");
  });

  test("refuses sockets, and directories that are too large or have too many files", async () => {
    const directory = await makeDirectory("large", []);
    await writeFile(join(directory, "sparse"), "");
    await truncate(join(directory, "sparse"), MAX_SHIPPED_BYTES + 1);
    await expect(digestOf(directory)).rejects.toThrow(/large is larger than 64 MiB$/);
    await truncate(join(directory, "sparse"), 0);
    const server = createServer().listen(join(directory, "socket"));
    await expect(digestOf(directory)).rejects.toThrow(/it is a device, a pipe or a socket/);
    await new Promise((resolve) => server.close(resolve));
    const many = Array.from({ length: MAX_SHIPPED_ENTRIES }, (_, index) => `f${index}`);
    for (const name of many) await writeFile(join(directory, name), "");
    await expect(digestOf(directory)).rejects.toThrow(/more than 10000 files and directories$/);
  });

  test.each<[string, readonly Headers[]]>([
    ["a link to a file of the host", [{ name: "shipped", type: "symlink", linkname: "/etc/shadow" }]],
    ["a path out of the directory", [{ name: "shipped/../../outside" }]],
    ["nothing but other names", [{ name: "../outside" }, { name: "/etc/passwd" }]],
    ["a device", [{ name: "shipped", type: "character-device" }]],
    [
      "a file behind a link",
      [
        { name: "shipped/", type: "directory" },
        { name: "shipped/way", type: "symlink", linkname: "/" },
        { name: "shipped/way/outside" },
      ],
    ],
  ])("an archive with %s is refused, and leaves nothing behind", async (_, entries) => {
    await expect(extract(archiveOf(entries))).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
    expect(await readdir(root)).toEqual([]);
  });
});
