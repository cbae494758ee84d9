import { resolve } from "node:path";
import { backupJson, describeBackup } from "../../output/backups.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type BackupKeyOptions, readBackupKey } from "./protection.js";

/** `berth backup inspect FILE` */
export async function inspectBackup(
  cli: Cli,
  options: GlobalOptions & BackupKeyOptions,
  file: string,
): Promise<void> {
  const key = await readBackupKey(cli, options);
  const backups = await import("@berth/control-plane/backup");
  const summary = await backups.inspectBackup({ path: resolve(cli.cwd, file), key });
  if (options.output === "json") {
    printJson(cli, { file, ...backupJson(summary) });
  } else {
    cli.stdout.write(describeBackup(summary));
  }
}
