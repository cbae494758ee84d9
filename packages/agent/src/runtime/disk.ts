import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";

/** The few small files of an agent, by name. */
export interface Disk {
  /** Undefined: there is no such file. */
  read(name: string): Promise<string | undefined>;
  /** Replaces the file as a whole: after a power cut it holds either the old or the new text. */
  write(name: string, text: string): Promise<void>;
  /** Keeps a text where containers can have it mounted, and returns its path: one for each text. */
  writeShared(text: string): Promise<string>;
  /** Where a person finds the file. */
  pathOf(name: string): string;
}

const PRIVATE = 0o600;
const READABLE = 0o644;
/** Below the agent's folder. */
const SHARED = "shared";
const NAME_LENGTH = 16;

/** Files in a folder that is there. */
export function directoryDisk(folder: string): Disk {
  const pathOf = (name: string): string => join(folder, name);
  const shared = new Map<string, Promise<string>>();
  return {
    pathOf,
    read: (name) => readIfThere(pathOf(name)),
    write: (name, text) => replace(pathOf(name), text, PRIVATE),
    writeShared: (text) => {
      const path = shared.get(text) ?? share(folder, text);
      shared.set(text, path);
      path.catch(() => shared.delete(text));
      return path;
    },
  };
}

async function share(folder: string, text: string): Promise<string> {
  const name = createHash("sha256").update(text).digest("hex").slice(0, NAME_LENGTH);
  const path = join(folder, SHARED, name);
  await mkdir(join(folder, SHARED), { recursive: true });
  await replace(path, text, READABLE);
  return path;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function replace(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
