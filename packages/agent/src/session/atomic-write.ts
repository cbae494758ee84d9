import { open, rename } from "node:fs/promises";

/** Replaces the file as a whole: after a power cut it holds either the old or the new text. */
export async function atomicWrite(path: string, text: string): Promise<void> {
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
