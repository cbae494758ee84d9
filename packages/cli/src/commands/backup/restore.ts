import { resolve } from "node:path";
import type { RestoreArguments } from "@berth/control-plane/backup";
import { backupJson, describeBackup } from "../../output/backups.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type BackupKeyOptions, readBackupKey } from "./protection.js";

type EtcdOptions = RestoreArguments["etcd"];

export interface RestoreBackupOptions extends GlobalOptions, BackupKeyOptions, EtcdOptions {
  readonly dataDir?: string;
  readonly force?: boolean;
}

/** `berth backup restore FILE` */
export async function restoreBackup(cli: Cli, options: RestoreBackupOptions, file: string): Promise<void> {
  const key = await readBackupKey(cli, options);
  const backups = await import("@berth/control-plane/backup");
  const summary = await backups.restoreBackup(
    {
      path: resolve(cli.cwd, file),
      key,
      dataDir: options.dataDir || cli.env.BERTH_DATA_DIR || undefined,
      etcd: options,
      force: options.force ?? false,
      onProgress: (step) => void cli.stderr.write(`${step} …\n`),
    },
    cli.signal,
  );
  if (options.output === "json") {
    printJson(cli, { file, ...backupJson(summary) });
  } else {
    cli.stdout.write(`${describeBackup(summary)}\n${NEXT_STEPS}`);
  }
}

const NEXT_STEPS = `The cluster is restored. Compare the CA with the one that you know, and start the server:

  berth server --listen ADDRESS:7400

If its address is new, start each agent once with --server ADDRESS:7400, and run
"berth context update NAME --server ADDRESS:7400" on computers of users.
Then run "berth backup status".
`;
