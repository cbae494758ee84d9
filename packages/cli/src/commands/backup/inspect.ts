import { resolve } from "node:path";
import { backupJson, describeBackup } from "../../output/backups.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { readUnlock, type UnlockOptions } from "./protection.js";

/** `berth backup inspect FILE` */
export async function inspectBackup(
  cli: Cli,
  options: GlobalOptions & UnlockOptions,
  file: string,
): Promise<void> {
  const unlock = await readUnlock(cli, options);
  const backups = await import("@berth/control-plane/backup");
  const summary = await backups.inspectBackup({ file: resolve(cli.cwd, file), unlock });
  if (options.output === "json") {
    printJson(cli, { file, ...backupJson(summary) });
  } else {
    cli.stdout.write(describeBackup(summary));
  }
}
