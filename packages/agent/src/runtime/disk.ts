import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** The agent's data directory: a few small files, by name. */
export interface Disk {
  /** Returns undefined when there is no such file. */
  read(name: string): Promise<string | undefined>;
  /** Replaces the file atomically: after a power failure it holds either the old or the new text. */
  write(name: string, text: string): Promise<void>;
  /** Renames a damaged file, replacing an earlier one, and returns its new path. */
  keepAside(name: string): Promise<string>;
  /** Writes text to a file that containers can mount, and returns its path. Equal texts share a file. */
  writeShared(text: string): Promise<string>;
  /** Returns the file's path, for messages. */
  pathOf(name: string): string;
}

/** Appended to the name of a damaged file. */
export const DAMAGED_SUFFIX = ".damaged";

const PRIVATE = 0o600;
const WORLD_READABLE = 0o644;
/** Subdirectory of the data directory. */
const SHARED_DIR = "shared";
const NAME_LENGTH = 16;

/** Returns the disk of a directory, which must exist. */
export function directoryDisk(directory: string): Disk {
  const pathOf = (name: string): string => join(directory, name);
  const sharedPaths = new Map<string, Promise<string>>();
  return {
    pathOf,
    read: (name) => readIfPresent(pathOf(name)),
    write: (name, text) => replaceFile(pathOf(name), text, PRIVATE),
    keepAside: async (name) => {
      const aside = pathOf(`${name}${DAMAGED_SUFFIX}`);
      await rename(pathOf(name), aside);
      return aside;
    },
    writeShared: (text) => {
      const path = sharedPaths.get(text) ?? writeShared(directory, text);
      sharedPaths.set(text, path);
      path.catch(() => sharedPaths.delete(text));
      return path;
    },
  };
}

async function writeShared(directory: string, text: string): Promise<string> {
  const name = createHash("sha256").update(text).digest("hex").slice(0, NAME_LENGTH);
  const path = join(directory, SHARED_DIR, name);
  await mkdir(join(directory, SHARED_DIR), { recursive: true });
  await replaceFile(path, text, WORLD_READABLE);
  return path;
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, "w", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // A partial file would occupy the last space of a full disk.
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}
