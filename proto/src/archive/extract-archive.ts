import { constants, type Stats } from "node:fs";
import {
  chmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  rm,
  symlink,
  unlink,
  utimes,
} from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { extract, type Headers } from "tar-stream";
import { BerthError } from "../errors.js";

export interface ExtractOptions {
  /** An existing directory. Nothing is written outside of it. */
  readonly directory: string;
  /** Returns the name of an entry in the directory. Undefined to skip the entry. */
  readonly rename: (name: string) => string | undefined;
  /** Whether to keep the archive's numeric owners. Requires root. */
  readonly keepOwners: boolean;
  /** Offset of the owners, for containers whose users the host remaps. */
  readonly ownerOffset?: { readonly uid: number; readonly gid: number };
  /** Whether to keep the archive's times rather than use the time of extraction. Default: true. */
  readonly keepTimes?: boolean;
  /** Maximum number of entries. Default: unlimited. */
  readonly maxEntries?: number;
}

const FILE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const MODE_BITS = 0o7777;
const NO_OFFSET = { uid: 0, gid: 0 };

/**
 * Extracts a tar archive, which may come from a hostile container, and returns the total size of its files.
 *
 * Nothing is written through a symbolic link: every part of the path to an entry must be a real directory, and entries
 * replace links instead of following them. Links themselves are created as they are, as in `docker cp`.
 *
 * @throws BerthError BERTH_INPUT_INVALID for entries that would leave the directory, and for devices
 */
export async function extractArchive(
  archive: AsyncIterable<Uint8Array>,
  options: ExtractOptions,
): Promise<number> {
  const unpack = extract();
  const feeding = feed(archive, unpack);
  const { maxEntries = Number.POSITIVE_INFINITY } = options;
  let bytes = 0;
  let entries = 0;
  /** The directories, whose permissions and times are set after everything in them has been written. */
  const directories: { readonly path: string; readonly header: Headers }[] = [];
  try {
    for await (const entry of unpack) {
      const { header } = entry;
      entries += 1;
      if (entries > maxEntries) {
        throw refusedEntryError(header.name, `it has more than ${maxEntries} entries`);
      }
      const path = entryPath(header.name, options);
      if (path === undefined) {
        entry.resume();
        continue;
      }
      if (path !== resolve(options.directory)) await requireDirectories(dirname(path), options.directory);
      switch (header.type) {
        case "directory":
          await createDirectory(path, header);
          directories.push({ path, header });
          break;
        case "file":
        case "contiguous-file":
        case null:
        case undefined:
          bytes += await createFile(path, header, entry);
          break;
        case "symlink":
          await removeUnlessDirectory(path);
          await symlink(header.linkname ?? "", path);
          break;
        case "link":
          await createHardLink(path, header, options);
          break;
        default:
          throw refusedEntryError(
            header.name,
            `it is a ${header.type}: only files, directories and links are copied`,
          );
      }
      entry.resume();
      if (header.type !== "directory") await setMetadata(path, header, options);
    }
    await feeding;
  } finally {
    unpack.destroy();
    // The error was thrown above, or is a consequence of that one. The archive may never yield another chunk.
    feeding.catch(() => {});
  }
  for (const { path, header } of directories.reverse()) await setMetadata(path, header, options);
  return bytes;
}

/** Writes the archive to the parser, with backpressure. */
async function feed(archive: AsyncIterable<Uint8Array>, unpack: ReturnType<typeof extract>): Promise<void> {
  try {
    for await (const chunk of archive) {
      if (unpack.destroyed) return;
      if (!unpack.write(chunk)) {
        await new Promise<void>((next) => {
          const done = (): void => {
            unpack.off("drain", done);
            unpack.off("close", done);
            next();
          };
          unpack.on("drain", done);
          unpack.on("close", done);
        });
      }
    }
    unpack.end();
  } catch (error) {
    unpack.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

/**
 * Returns the path of an entry.
 *
 * @throws BerthError for a path outside of the directory
 */
function entryPath(name: string, { directory, rename }: ExtractOptions): string | undefined {
  if (name.includes("\0")) throw refusedEntryError(name, "its name has a NUL character");
  const renamed = rename(name);
  if (renamed === undefined) return undefined;
  const path = resolve(directory, renamed.replace(/^\/+/, ""));
  if (!isInside(path, directory) || renamed.split("/").includes("..")) {
    throw refusedEntryError(name, "it would be written outside the destination");
  }
  return path;
}

function isInside(path: string, directory: string): boolean {
  const root = resolve(directory);
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

/**
 * Creates missing directories.
 *
 * @throws BerthError if a part of the path below the destination is not a directory
 */
async function requireDirectories(path: string, root: string): Promise<void> {
  let current = resolve(root);
  for (const name of relative(current, path)
    .split(sep)
    .filter((part) => part !== "")) {
    current = join(current, name);
    const stats = await lstatIfPresent(current);
    if (stats === undefined) {
      await mkdir(current);
    } else if (!stats.isDirectory()) {
      throw refusedEntryError(current, "a part of its path is not a directory");
    }
  }
}

async function createDirectory(path: string, header: Headers): Promise<void> {
  const stats = await lstatIfPresent(path);
  if (stats === undefined) {
    await mkdir(path);
  } else if (!stats.isDirectory()) {
    throw refusedEntryError(header.name, "the directory would replace an entry of another type");
  }
}

async function createFile(
  path: string,
  header: Headers,
  content: AsyncIterable<Uint8Array>,
): Promise<number> {
  await removeUnlessDirectory(path, header.name);
  // Fails when the name exists, because an existing file was removed before.
  const file = await open(path, FILE_FLAGS, 0o600);
  let bytes = 0;
  try {
    for await (const chunk of content) {
      for (let remaining = chunk; remaining.length > 0; ) {
        const { bytesWritten } = await file.write(remaining);
        remaining = remaining.subarray(bytesWritten);
        bytes += bytesWritten;
      }
    }
  } finally {
    await file.close();
  }
  return bytes;
}

/** A hard link gives access to its target, which must therefore be a file of the destination. */
async function createHardLink(path: string, header: Headers, options: ExtractOptions): Promise<void> {
  const target = entryPath(header.linkname ?? "", options);
  if (target === undefined) throw refusedEntryError(header.name, "it links to a file outside the archive");
  await requireDirectories(dirname(target), options.directory);
  const stats = await lstatIfPresent(target);
  if (stats === undefined || stats.isDirectory()) {
    throw refusedEntryError(header.name, "it links to a file that does not exist");
  }
  await removeUnlessDirectory(path, header.name);
  await link(target, path);
}

/** Removes a file or a link that an entry replaces. */
async function removeUnlessDirectory(path: string, name = path): Promise<void> {
  const stats = await lstatIfPresent(path);
  if (stats === undefined) return;
  if (stats.isDirectory()) throw refusedEntryError(name, "it would replace a directory");
  await unlink(path).catch(() => rm(path, { force: true }));
}

async function setMetadata(path: string, header: Headers, options: ExtractOptions): Promise<void> {
  const { keepOwners, ownerOffset: offset = NO_OFFSET, keepTimes = true } = options;
  const { type, mode = 0o644, uid = 0, gid = 0, mtime = new Date() } = header;
  if (keepOwners) await lchown(path, uid + offset.uid, gid + offset.gid);
  if (type === "symlink") return keepTimes ? lutimes(path, mtime, mtime) : undefined;
  // A hard link has the metadata of its target.
  if (type === "link") return;
  // Without the owners, setuid and setgid bits would apply to the user who runs the command.
  const allowed = keepOwners ? MODE_BITS : 0o777;
  await chmod(path, mode & allowed);
  if (keepTimes) await utimes(path, mtime, mtime);
}

async function lstatIfPresent(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function refusedEntryError(name: string, reason: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `cannot extract ${JSON.stringify(name)} from the archive: ${reason}`,
  });
}
