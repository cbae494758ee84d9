import { resolve } from "node:path";
import { type BackupSummary, BerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { backupJson, describeBackup } from "../../output/backups.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { writeFileAtomically } from "./atomic-file.js";
import { type Protection, type ProtectionOptions, readProtection } from "./protection.js";

export interface CreateBackupOptions extends GlobalOptions, ProtectionOptions {
  readonly force?: boolean;
}

const STDOUT_PATH = "-";

/** `berth backup create FILE`: the server encrypts the backup, so that its keys never leave the server in plaintext. */
export async function createBackup(cli: Cli, options: CreateBackupOptions, file: string): Promise<void> {
  const isToStdout = file === STDOUT_PATH;
  if (isToStdout && cli.stdout.isTty) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: "standard output is a terminal; redirect it, or specify a file",
    });
  }
  const protection = await readProtection(cli, options);
  const summary = await withClient(cli, options, (client) => {
    if (isToStdout) {
      return download(cli, client, protection, (bytes) => cli.streams.write("stdout", bytes));
    }
    return writeFileAtomically(resolve(cli.cwd, file), { force: options.force ?? false }, (append) =>
      download(cli, client, protection, append),
    );
  });
  if (isToStdout) {
    cli.stderr.write(describeBackup(summary));
  } else if (options.output === "json") {
    printJson(cli, { file, ...backupJson(summary) });
  } else {
    cli.stdout.write(`Wrote the backup ${file}\n${describeBackup(summary)}`);
  }
}

async function download(
  cli: Cli,
  client: ControlClient,
  protection: Protection,
  append: (bytes: Uint8Array) => Promise<void>,
): Promise<BackupSummary> {
  if (cli.stderr.isTty) cli.stderr.write("Creating the backup …\n");
  let summary: BackupSummary | undefined;
  for await (const { part } of client.createBackup({ protection }, { signal: cli.signal })) {
    if (part?.$case === "data") await append(part.value);
    if (part?.$case === "summary") summary = part.value;
  }
  if (summary !== undefined) return summary;
  throw new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: "the server ended the backup before it was complete; try again",
  });
}
