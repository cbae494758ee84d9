import { createReadStream } from "node:fs";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { type BackupSummary, BerthError, isBerthError } from "@berth/proto";
import { type BackupKey, decrypt, invalidBackupError } from "./age.js";
import { type BackupPart, parseParts, SummaryBuilder, splitLines } from "./backup-format.js";

export interface BackupFile {
  readonly path: string;
  readonly key: BackupKey;
}

/**
 * Decrypts a backup and yields its parts.
 *
 * @throws BerthError BERTH_BACKUP_INVALID, BERTH_UNSUPPORTED for a newer format, BERTH_INPUT_INVALID for a missing file
 */
export async function* readBackup({ path, key }: BackupFile): AsyncGenerator<BackupPart> {
  yield* parseArchive(path, await decrypt(path, readBytes(path), key));
}

/**
 * Decompresses the content of a backup and yields its parts. `name` identifies the file in error messages.
 *
 * @throws BerthError BERTH_BACKUP_INVALID, BERTH_UNSUPPORTED for a newer format
 */
export async function* parseArchive(
  name: string,
  compressed: AsyncIterable<Uint8Array>,
): AsyncGenerator<BackupPart> {
  // An error of the source destroys the decompressor, which passes it to the reader.
  const text = pipeline(Readable.from(compressed), createGunzip(), () => {});
  try {
    yield* parseParts(name, splitLines(name, text));
  } catch (error) {
    if (isBerthError(error)) throw error;
    throw invalidBackupError(name, "it is damaged or truncated", error);
  } finally {
    text.destroy();
  }
}

async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `cannot read the backup: ${reason}`,
      cause,
    });
  }
}

/**
 * Reads a backup to its end and returns its summary.
 *
 * @throws the errors of `readBackup`
 */
export async function inspectBackup(backup: BackupFile): Promise<BackupSummary> {
  const summary = new SummaryBuilder();
  for await (const part of readBackup(backup)) summary.add(part);
  return summary.build();
}
