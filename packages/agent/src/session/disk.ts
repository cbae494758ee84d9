import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";

/** The few small files of an agent, by name. */
export interface Disk {
  /** Undefined: there is no such file. */
  read(name: string): Promise<string | undefined>;
  /** Replaces the file as a whole: after a power cut it holds either the old or the new text. */
  write(name: string, text: string): Promise<void>;
  /** Where a person finds the file. */
  pathOf(name: string): string;
}

/** Files in a folder that is there. */
export function folderDisk(folder: string): Disk {
  const pathOf = (name: string): string => join(folder, name);
  return {
    pathOf,
    read: (name) => readIfThere(pathOf(name)),
    write: (name, text) => replace(pathOf(name), text),
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function replace(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
