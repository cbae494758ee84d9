import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** The functions of `node:fs/promises` that a replacement uses. Tests record or interrupt them. */
export interface ReplacingFileSystem {
  readonly open: typeof open;
  readonly rename: typeof rename;
  readonly rm: typeof rm;
}

const NODE_FILE_SYSTEM: ReplacingFileSystem = { open, rename, rm };

export interface ReplacedFile {
  readonly directory: string;
  readonly name: string;
  readonly text: string;
  readonly mode: number;
}

/** Replaces a file atomically and durably. After a power failure, it has either its old or its new text. */
export async function replaceFile(
  { directory, name, text, mode }: ReplacedFile,
  files: ReplacingFileSystem = NODE_FILE_SYSTEM,
): Promise<void> {
  const temporary = join(directory, `${name}.new`);
  // A file left over from a crash could have other permissions, or be a link.
  await files.rm(temporary, { force: true });
  const file = await files.open(temporary, "wx", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(temporary, join(directory, name));
  await syncDirectory(directory, files);
}

/** Makes the renames in a directory durable. */
export async function syncDirectory(path: string, files: Pick<ReplacingFileSystem, "open">): Promise<void> {
  const directory = await files.open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
