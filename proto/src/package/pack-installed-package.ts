import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, open, readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGzip, gzip } from "node:zlib";
import { type Pack, pack } from "tar-stream";
import { BerthError } from "../errors.js";
import type { InstalledPackage } from "./installed-package.js";

const AR_MAGIC = "!<arch>\n";
const AR_HEADER_BYTES = 60;
/** Compression level. A package of 120 MB takes 3 s of CPU time, and becomes 8 % larger than with the default of 6. */
const GZIP_LEVEL = 4;
const READ_BYTES = 256 * 1024;
const FILE_MODE = 0o644;
/** Mode of executable files and of directories. */
const EXECUTABLE_MODE = 0o755;

/**
 * Rebuilds the Debian package of the running program from its installed files.
 *
 * @param file path of the .deb to write
 * @throws BerthError BERTH_DISK_FAILED when an installed file has changed; the signal's reason
 */
export async function packInstalledPackage(
  installed: InstalledPackage,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const control = await packControl(installed);
  const output = await open(file, "w", FILE_MODE);
  try {
    // A Debian package is an `ar` archive of three members: its version, the control files and the files of the host.
    const head = Buffer.concat([
      Buffer.from(AR_MAGIC),
      member("debian-binary", Buffer.from("2.0\n")),
      member("control.tar.gz", control),
    ]);
    await output.write(head, 0, head.length, 0);
    const dataStart = head.length + AR_HEADER_BYTES;
    const size = await writeData(installed, file, dataStart, signal);
    await writeAt(output, memberHeader("data.tar.gz", size), head.length);
    if (size % 2 === 1) await writeAt(output, "\n", dataStart + size);
  } finally {
    await output.close();
  }
}

async function writeAt(output: FileHandle, text: string, position: number): Promise<void> {
  const bytes = Buffer.from(text);
  await output.write(bytes, 0, bytes.length, position);
}

/** Returns a member with its header. Members start at even positions. */
function member(name: string, content: Buffer): Buffer {
  const padding = content.length % 2 === 1 ? "\n" : "";
  return Buffer.concat([Buffer.from(memberHeader(name, content.length)), content, Buffer.from(padding)]);
}

/** Returns the header of a member: name, time, owner, group, mode and size. */
function memberHeader(name: string, size: number): string {
  return `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${String(size).padEnd(10)}\`\n`;
}

async function packControl({ directory }: InstalledPackage): Promise<Buffer> {
  const archive = pack();
  const control = join(directory, "control");
  for (const name of (await readdir(control)).sort()) {
    const { mode } = await stat(join(control, name));
    const content = await readFile(join(control, name));
    archive.entry({ name: `./${name}`, mode: modeOf(mode), mtime: new Date(0) }, content);
  }
  archive.entry(
    { name: "./md5sums", mode: FILE_MODE, mtime: new Date(0) },
    await readFile(join(directory, "md5sums")),
  );
  archive.finalize();
  return promisify(gzip)(await buffer(archive));
}

/** Writes the compressed files of the host from a position of the file on, and returns their size. */
async function writeData(
  installed: InstalledPackage,
  file: string,
  start: number,
  signal: AbortSignal,
): Promise<number> {
  const archive = pack();
  const compressed = createGzip({ level: GZIP_LEVEL });
  const output = createWriteStream(file, { flags: "r+", start });
  const adding = addFiles(archive, installed).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  await Promise.all([pipeline(archive, compressed, output, { signal }), adding]);
  return output.bytesWritten;
}

/** A file of the host that the package contains. */
interface HostFile {
  readonly path: string;
  /** Checksum at the installation. Undefined if none was recorded. */
  readonly md5: string | undefined;
}

async function addFiles(archive: Pack, { directory, root }: InstalledPackage): Promise<void> {
  const packageDirectory = relative(root, directory);
  const checksums = parseLines(await readFile(join(directory, "md5sums"), "utf8"));
  const files = checksums.map(([md5, path]): HostFile => ({ path, md5 }));
  const links = parseLines(await readFile(join(directory, "links"), "utf8"));
  // The list of checksums does not contain itself.
  files.push({ path: join(packageDirectory, "md5sums"), md5: undefined });
  for (const path of parentsOf([...files.map(({ path }) => path), ...links.map(([path]) => path)])) {
    archive.entry({ name: `./${path}/`, type: "directory", mode: EXECUTABLE_MODE, mtime: new Date(0) });
  }
  for (const [path, target] of links) {
    archive.entry({ name: `./${path}`, type: "symlink", linkname: target, mtime: new Date(0) });
  }
  for (const { path, md5 } of files) {
    const source = path.startsWith("etc/") ? join(directory, "files", path) : join(root, path);
    const actual = await addFile(archive, `./${path}`, source);
    if (md5 !== undefined && actual !== md5) throw changedFileError(source);
  }
}

/** Adds a file, and returns its checksum. */
async function addFile(archive: Pack, name: string, source: string): Promise<string> {
  const { mode, size } = await stat(source);
  const entry = archive.entry({ name, size, mode: modeOf(mode), mtime: new Date(0) });
  const hash = createHash("md5");
  for await (const chunk of createReadStream(source, { highWaterMark: READ_BYTES })) {
    hash.update(chunk as Buffer);
    if (!entry.write(chunk)) await once(entry, "drain");
  }
  entry.end();
  return hash.digest("hex");
}

/** Parses lines of two words. */
function parseLines(text: string): readonly (readonly [string, string])[] {
  return text
    .split("\n")
    .map((line) => /^(\S+) +(.+)$/.exec(line))
    .flatMap((match) => (match === null ? [] : [[match[1] ?? "", match[2] ?? ""] as const]));
}

/** Returns the directories above the paths, each one after its parent. */
function parentsOf(paths: readonly string[]): readonly string[] {
  const parents = new Set<string>();
  for (const path of paths) {
    const parts = path.split("/").slice(0, -1);
    for (let depth = 1; depth <= parts.length; depth += 1) parents.add(parts.slice(0, depth).join("/"));
  }
  return [...parents].sort();
}

function modeOf(mode: number): number {
  return (mode & 0o100) === 0 ? FILE_MODE : EXECUTABLE_MODE;
}

function changedFileError(path: string): BerthError {
  return new BerthError({
    code: "BERTH_DISK_FAILED",
    message: `cannot build the package berth from its installed files: ${path} has changed since the installation; install the package again, or name one with --package`,
  });
}
