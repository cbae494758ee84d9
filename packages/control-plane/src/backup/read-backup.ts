import { createReadStream } from "node:fs";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { type BackupSummary, BerthError, isBerthError } from "@berth/proto";
import { type BackupUnlock, decrypt, invalidBackupError } from "./age.js";
import { type BackupPart, parseParts, SummaryBuilder, splitLines } from "./backup-format.js";

export interface BackupFile {
  /** Path of the file. */
  readonly file: string;
  readonly unlock: BackupUnlock;
}

/**
 * Decrypts a backup and yields its parts.
 *
 * @throws BerthError BERTH_BACKUP_INVALID, BERTH_UNSUPPORTED for a newer format, BERTH_INPUT_INVALID for a missing file
 */
export async function* readBackup({ file, unlock }: BackupFile): AsyncGenerator<BackupPart> {
  yield* parseArchive(file, await decrypt(file, readBytes(file), unlock));
}

/**
 * Decompresses the content of a backup and yields its parts. `name` is the file in errors.
 *
 * @throws BerthError BERTH_BACKUP_INVALID, BERTH_UNSUPPORTED for a newer format
 */
export async function* parseArchive(
  name: string,
  compressed: AsyncIterable<Uint8Array>,
): AsyncGenerator<BackupPart> {
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

async function* readBytes(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file) as AsyncIterable<Uint8Array>;
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
  let builder: SummaryBuilder | undefined;
  for await (const part of readBackup(backup)) {
    if (part.kind === "header") builder = new SummaryBuilder(part.header);
    if (part.kind === "record") builder?.add(part.record);
  }
  if (builder === undefined) throw invalidBackupError(backup.file, "it is empty");
  return builder.build();
}
