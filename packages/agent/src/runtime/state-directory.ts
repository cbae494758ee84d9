import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** The agent's data directory, in which it stores its state in a few small files. */
export interface StateDirectory {
  /** Returns undefined if there is no such file. */
  read(name: string): Promise<string | undefined>;
  /** Replaces the file atomically: after a power failure it holds either the old or the new text. */
  write(name: string, text: string): Promise<void>;
  /** Renames a damaged file so that it is no longer used, replacing an earlier one. Returns its new path. */
  quarantine(name: string): Promise<string>;
  /** Writes text to a file that containers can mount, and returns its path. Equal texts share a file. */
  writeShared(text: string): Promise<string>;
  /** Returns the file's path, for messages. */
  pathOf(name: string): string;
}

/** Appended to the name of a damaged file. */
export const DAMAGED_SUFFIX = ".damaged";

const OWNER_ONLY_MODE = 0o600;
const WORLD_READABLE_MODE = 0o644;
/** Subdirectory of the data directory. */
const SHARED_SUBDIRECTORY = "shared";
const NAME_LENGTH = 16;

/** Returns the state directory at a path, which must exist. */
export function openStateDirectory(directory: string): StateDirectory {
  const pathOf = (name: string): string => join(directory, name);
  const sharedPaths = new Map<string, Promise<string>>();
  return {
    pathOf,
    read: (name) => readIfPresent(pathOf(name)),
    write: (name, text) => replaceFile(pathOf(name), text, OWNER_ONLY_MODE),
    quarantine: async (name) => {
      const quarantinedPath = pathOf(`${name}${DAMAGED_SUFFIX}`);
      await rename(pathOf(name), quarantinedPath);
      return quarantinedPath;
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
  const path = join(directory, SHARED_SUBDIRECTORY, name);
  await mkdir(join(directory, SHARED_SUBDIRECTORY), { recursive: true });
  await replaceFile(path, text, WORLD_READABLE_MODE);
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
