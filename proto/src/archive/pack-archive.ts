import { createReadStream, type ReadStream, type Stats } from "node:fs";
import { lstat, readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Headers, pack } from "tar-stream";
import { BerthError } from "../errors.js";

export interface PackOptions {
  /** The file or directory to pack. */
  readonly path: string;
  /** The name of the root in the archive. "." for the contents of a directory. */
  readonly root: string;
  /** Whether to follow `path` if it is a symbolic link. Links below it stay links. */
  readonly followLink: boolean;
  /** Called after each file, with its size. */
  readonly onFilePacked: (bytes: number) => void;
  /** Called before each entry, with the size of its content. An error aborts the archive. */
  readonly beforeEntry?: (bytes: number) => void;
  /** Sorts the entries and sets their times to 0, so that identical trees produce identical archives. Default: false. */
  readonly reproducible?: boolean;
}

/** Size of a read, so large that reading a file takes few system calls. */
const READ_BYTES = 256 * 1024;
const MODE_BITS = 0o7777;

/** Yields a tar archive of a file or a directory. Reads only as fast as the consumer. */
export async function* packArchive(options: PackOptions): AsyncGenerator<Uint8Array> {
  const archive = pack();
  const packing = addRoot(archive, options).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  try {
    for await (const chunk of archive) yield chunk as Uint8Array;
  } finally {
    archive.destroy();
    await packing;
  }
}

type Archive = ReturnType<typeof pack>;

async function addRoot(archive: Archive, options: PackOptions): Promise<void> {
  const { path, root, followLink } = options;
  await addEntry(archive, { path, name: root, stats: await (followLink ? stat : lstat)(path) }, options);
}

interface Entry {
  readonly path: string;
  /** Name in the archive. */
  readonly name: string;
  readonly stats: Stats;
}

async function addEntry(archive: Archive, entry: Entry, options: PackOptions): Promise<void> {
  const { path, name, stats } = entry;
  const header = headerOf(name, stats, options);
  options.beforeEntry?.(stats.isFile() ? stats.size : 0);
  if (stats.isDirectory()) {
    await addHeader(archive, { ...header, name: `${name}/`, type: "directory" });
    const children = await readdir(path);
    for (const child of options.reproducible ? children.sort() : children) {
      const childPath = join(path, child);
      await addEntry(
        archive,
        { path: childPath, name: `${name}/${child}`, stats: await lstat(childPath) },
        options,
      );
    }
  } else if (stats.isSymbolicLink()) {
    await addHeader(archive, { ...header, type: "symlink", linkname: await readlink(path) });
  } else if (stats.isFile()) {
    await addFile(archive, entry, header);
    options.onFilePacked(stats.size);
  } else {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `cannot copy ${path}: it is a device, a pipe or a socket`,
    });
  }
}

function headerOf(name: string, stats: Stats, { reproducible = false }: PackOptions): Headers {
  const { mode, uid, gid } = stats;
  const mtime = reproducible ? new Date(0) : stats.mtime;
  return { name, mode: mode & MODE_BITS, mtime, uid, gid };
}

function addHeader(archive: Archive, header: Headers): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.entry(header, (error) => (error ? reject(error) : resolve()));
  });
}

/** Fails if the file shrinks while it is read, because the header with its size has already been written. */
async function addFile(archive: Archive, { path, stats }: Entry, header: Headers): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let source: ReadStream | undefined;
    const entry = archive.entry({ ...header, size: stats.size }, (error) => {
      source?.destroy();
      if (error) {
        reject(error);
      } else {
        resolve();
      }
    });
    if (stats.size === 0) return entry.end();
    // A file that grows is cut off at the size in the header.
    source = createReadStream(path, { highWaterMark: READ_BYTES, end: stats.size - 1 });
    source.on("error", reject);
    source.pipe(entry);
  });
}
