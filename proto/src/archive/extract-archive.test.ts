import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Headers, pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { extractArchive } from "./extract-archive.js";
import { packArchive } from "./pack-archive.js";

let root = "";
let directory = "";

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "berth-cp-"));
  directory = join(root, "to");
  await mkdir(directory);
  await writeFile(join(root, "outside"), "untouched");
});
afterEach(() => rm(root, { recursive: true, force: true }));

type Entry = Headers & { readonly content?: string };

async function* archiveOf(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  const archive = pack();
  for (const { content, ...header } of entries) archive.entry(header, content ?? "");
  archive.finalize();
  for await (const chunk of archive) yield chunk as Uint8Array;
}

const extractEntries = (...entries: readonly Entry[]): Promise<number> =>
  extractArchive(archiveOf(entries), { directory, rename: (name) => name, keepOwners: false });

test("extractArchive() reports a refused entry although the rest of the archive never arrives", async () => {
  const stalling = async function* (): AsyncGenerator<Uint8Array> {
    yield* archiveOf([{ name: "../outside", content: "x" }]);
    await new Promise(() => {});
  };
  const options = { directory, rename: (name: string) => name, keepOwners: false };
  await expect(extractArchive(stalling(), options)).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
});

async function expectOutsideUntouched(): Promise<void> {
  expect((await readdir(root)).toSorted()).toEqual(["outside", "to"]);
  expect(await readFile(join(root, "outside"), "utf8")).toBe("untouched");
}

describe("extractArchive(), with archives of a hostile container", () => {
  test.each<[string, readonly Entry[]]>([
    ["a name with ..", [{ name: "../outside", content: "x" }]],
    ["a name with .. inside", [{ name: "a/../../outside", content: "x" }]],
    [
      "a link to a directory, and a file below it",
      [
        { name: "way", type: "symlink", linkname: ".." },
        { name: "way/outside", content: "x" },
      ],
    ],
    [
      "an absolute link, and a file below it",
      [
        { name: "way", type: "symlink", linkname: "/tmp" },
        { name: "way/berth-escape", content: "x" },
      ],
    ],
    [
      "a link, and a directory in its place",
      [
        { name: "way", type: "symlink", linkname: ".." },
        { name: "way", type: "directory" },
        { name: "way/outside", content: "x" },
      ],
    ],
    [
      "a chain of links",
      [
        { name: "a", type: "symlink", linkname: "b" },
        { name: "b", type: "symlink", linkname: ".." },
        { name: "a/outside", content: "x" },
      ],
    ],
    ["a hard link to a file outside", [{ name: "hard", type: "link", linkname: "../outside" }]],
    [
      "a hard link through a link",
      [
        { name: "way", type: "symlink", linkname: ".." },
        { name: "hard", type: "link", linkname: "way/outside" },
      ],
    ],
    ["a device", [{ name: "null", type: "character-device" }]],
    ["a block device", [{ name: "sda", type: "block-device" }]],
    ["a pipe", [{ name: "pipe", type: "fifo" }]],
  ])("refuses an archive with %s", async (_, entries) => {
    await expect(extractEntries(...entries)).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
    await expectOutsideUntouched();
  });

  test("replaces a link instead of writing through it", async () => {
    await extractEntries(
      { name: "f", type: "symlink", linkname: "../outside" },
      { name: "f", content: "mine" },
    );
    expect(await readFile(join(directory, "f"), "utf8")).toBe("mine");
    await symlink("../outside", join(directory, "earlier"));
    await extractEntries({ name: "earlier", content: "mine" });
    await expectOutsideUntouched();
  });

  test("writes an absolute name below the destination", async () => {
    await extractEntries({ name: "/etc/passwd", content: "x" });
    expect(await readFile(join(directory, "etc/passwd"), "utf8")).toBe("x");
  });

  test("keeps links as they are, and drops the bits of other users' rights", async () => {
    await extractEntries(
      { name: "abs", type: "symlink", linkname: "/etc/passwd" },
      { name: "suid", content: "x", mode: 0o4755 },
    );
    expect(await readlink(join(directory, "abs"))).toBe("/etc/passwd");
    expect((await stat(join(directory, "suid"))).mode & 0o7777).toBe(0o755);
  });

  test("does not replace a directory by a file, or a file by a directory", async () => {
    await mkdir(join(directory, "d"));
    await writeFile(join(directory, "f"), "");
    await expect(extractEntries({ name: "d", content: "x" })).rejects.toThrow(/would replace a directory/);
    await expect(extractEntries({ name: "f", type: "directory" })).rejects.toThrow(
      /replace an entry of another type/,
    );
  });

  test("reports a truncated archive", async () => {
    async function* truncated(): AsyncGenerator<Uint8Array> {
      for await (const chunk of archiveOf([{ name: "f", content: "x".repeat(100_000) }])) {
        yield chunk.subarray(0, 600);
      }
    }
    await expect(
      extractArchive(truncated(), { directory, rename: (name) => name, keepOwners: false }),
    ).rejects.toThrow();
  });
});

test("packArchive() closes the file that it reads when its consumer stops", async () => {
  const path = join(root, "large");
  await writeFile(path, Buffer.alloc(16 * 1024 * 1024));
  const archive = packArchive({ path, root: "large", followLink: false, onFilePacked: () => {} });
  for await (const _chunk of archive) break;
  await vi.waitFor(async () => expect(await openFiles()).not.toContain(path), { timeout: 10_000 });
});

/** Returns the paths of the open files of this process. */
async function openFiles(): Promise<readonly string[]> {
  const descriptors = await readdir("/proc/self/fd");
  return Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
}

test("packArchive() and extractArchive() copy a tree with its permissions, times and links", async () => {
  const from = join(root, "from");
  await mkdir(join(from, "sub"), { recursive: true });
  await writeFile(join(from, "sub", "f"), "f".repeat(300_000), { mode: 0o640 });
  await writeFile(join(from, "empty"), "");
  await symlink("sub/f", join(from, "link"));
  let packed = 0;
  const archive = packArchive({
    path: from,
    root: "tree",
    followLink: false,
    onFilePacked: (bytes) => {
      packed += bytes;
    },
  });
  const extracted = await extractArchive(archive, { directory, rename: (name) => name, keepOwners: false });
  expect([packed, extracted]).toEqual([300_000, 300_000]);
  expect((await readdir(join(directory, "tree"), { recursive: true })).toSorted()).toEqual(
    ["empty", "link", "sub", "sub/f"].toSorted(),
  );
  const [before, after] = await Promise.all(
    [join(from, "sub/f"), join(directory, "tree/sub/f")].map((path) => stat(path)),
  );
  expect([after?.mode, Math.floor((after?.mtimeMs ?? 0) / 1_000)]).toEqual([
    before?.mode,
    Math.floor((before?.mtimeMs ?? 0) / 1_000),
  ]);
  expect(await readlink(join(directory, "tree/link"))).toBe("sub/f");
});
