import { lstat, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { BerthError } from "../errors.js";
import { extractArchive } from "./extract-archive.js";
import { packArchive } from "./pack-archive.js";

// The archive of a shipped mount: one file or directory that a client sends to nodes, where containers mount it.

/** Maximum total size of the files. Larger contents belong in images or volumes. */
export const MAX_SHIPPED_BYTES = 64 * 1024 * 1024;
/** Maximum number of files, directories and links. */
export const MAX_SHIPPED_ENTRIES = 10_000;
/** Maximum size of the headers and the padding of one entry. */
const MAX_HEADER_BYTES = 8 * 1024;
/** Maximum size of the archive, which follows from the other limits. */
export const MAX_SHIPPED_ARCHIVE_BYTES = MAX_SHIPPED_BYTES + MAX_SHIPPED_ENTRIES * MAX_HEADER_BYTES;
/** Name of the file or directory in the archive. */
const ROOT_NAME = "shipped";

/** The size of an archive's contents. */
export interface ShippedSize {
  /** Files, directories and links. */
  readonly entries: number;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Yields the archive of a file or directory. A link at the path itself is followed, as by a bind mount. Equal files
 * with equal owners and modes have equal archives, whenever they were written.
 *
 * @param onSize called with the size so far
 * @throws BerthError BERTH_INPUT_INVALID if it is too large, or contains a device, a pipe or a socket
 */
export async function* packShipped(
  path: string,
  onSize: (size: ShippedSize) => void = () => {},
): AsyncGenerator<Uint8Array> {
  let size: ShippedSize = { entries: 0, files: 0, bytes: 0 };
  const beforeEntry = (bytes: number): void => {
    size = { ...size, entries: size.entries + 1, bytes: size.bytes + bytes };
    if (size.entries > MAX_SHIPPED_ENTRIES) {
      throw invalidInputError(`${path} has more than ${MAX_SHIPPED_ENTRIES} files and directories`);
    }
    if (size.bytes > MAX_SHIPPED_BYTES) {
      throw invalidInputError(`${path} is larger than ${MAX_SHIPPED_BYTES / (1024 * 1024)} MiB`);
    }
    onSize(size);
  };
  const onFilePacked = (): void => {
    size = { ...size, files: size.files + 1 };
    onSize(size);
  };
  yield* packArchive({
    path,
    root: ROOT_NAME,
    followLink: true,
    reproducible: true,
    beforeEntry,
    onFilePacked,
  });
}

export interface ShippedExtraction {
  /** The path of the file or directory to create. It appears once it is complete. */
  readonly path: string;
  /** Offset of the archive's owners, for containers whose users the host remaps. */
  readonly ownerOffset: { readonly uid: number; readonly gid: number };
}

/**
 * Extracts an archive, which a hostile client may have created. Nothing is written outside the path, and the result is
 * always a file or a directory, because Docker would follow a link to the host's files.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export async function extractShipped(
  archive: AsyncIterable<Uint8Array>,
  { path, ownerOffset }: ShippedExtraction,
): Promise<void> {
  const directory = `${path}.new`;
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { mode: 0o700 });
  try {
    await extractArchive(archive, {
      directory,
      ownerOffset,
      keepOwners: true,
      keepTimes: false,
      maxEntries: MAX_SHIPPED_ENTRIES,
      rename: renamedEntry,
    });
    const extracted = join(directory, ROOT_NAME);
    await requireFileOrDirectory(extracted);
    await rename(extracted, path);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Returns the name of an entry, or undefined for an entry that is not part of the file or directory. */
function renamedEntry(name: string): string | undefined {
  const path = name.replace(/\/+$/, "");
  return path === ROOT_NAME || path.startsWith(`${ROOT_NAME}/`) ? path : undefined;
}

async function requireFileOrDirectory(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isFile() || stats?.isDirectory()) return;
  throw invalidInputError("the root of a shipped mount's archive is neither a file nor a directory");
}

function invalidInputError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
