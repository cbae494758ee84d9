import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction, repeatableOption } from "./command-options.js";

/** Adds `berth backup …`. */
export function addBackupCommands(program: Command, cli: Cli): void {
  const backup = program
    .command("backup")
    .description("Back up the cluster's records, secrets and CA, and restore them on a new server");
  addCreate(backup, cli);
  addExamples(
    addUnlockOptions(
      backup
        .command("inspect")
        .argument("<file>", "backup file")
        .description("Verify that a backup can be read completely, and show its contents"),
    ).action(lazyAction(cli, async () => (await import("../commands/backup/inspect.js")).inspectBackup)),
    ["berth backup inspect berth.age", "berth backup inspect --identity-file key.txt -o json berth.age"],
  );
  addRestore(backup, cli);
  addExamples(
    backup
      .command("status")
      .description(
        "Show the last restore, the nodes that it waits for, and containers that are not in the backup",
      )
      .action(lazyAction(cli, async () => (await import("../commands/backup/status.js")).showRestore)),
    ["berth backup status"],
  );
  addExamples(
    backup
      .command("complete")
      .description("Complete a restore: stop and remove the containers that are not in the backup")
      .option(
        "-f, --force",
        "complete even if some nodes have not connected; their tasks are started on other nodes",
      )
      .action(lazyAction(cli, async () => (await import("../commands/backup/complete.js")).completeRestore)),
    ["berth backup complete", "berth backup complete --force"],
  );
}

function addCreate(backup: Command, cli: Cli): void {
  addExamples(
    backup
      .command("create")
      .argument("<file>", "file to write; - for standard output")
      .description("Write an encrypted backup of the cluster to a file")
      .option(
        "--passphrase-file <path>",
        "file with the passphrase; - for standard input (default: prompt on a terminal)",
      )
      .addOption(
        repeatableOption(
          "-r, --recipient <key>",
          'encrypt for the owner of this age public key ("age1…") instead of with a passphrase; can be repeated',
        ),
      )
      .option("--recipients-file <path>", "file with public keys, one per line")
      .option("-f, --force", "replace an existing file")
      .action(lazyAction(cli, async () => (await import("../commands/backup/create.js")).createBackup)),
    [
      "berth backup create berth.age",
      "berth backup create --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p berth.age",
      "berth backup create --passphrase-file /etc/berth/backup-passphrase --force /backup/berth.age",
      "berth backup create --recipients-file keys.txt - | ssh backup.example.com 'cat > berth.age'",
    ],
  );
}

function addRestore(backup: Command, cli: Cli): void {
  addExamples(
    addUnlockOptions(
      backup
        .command("restore")
        .argument("<file>", "backup file")
        .description("Restore a cluster from a backup on this host, before `berth server` starts"),
    )
      .option(
        "--data-dir <dir>",
        "data directory of the new server, which must be empty (env BERTH_DATA_DIR; default: /var/lib/berth/server)",
      )
      .option("--etcd <url,...>", "URLs of an empty external etcd to use instead of the embedded one")
      .option("--etcd-ca <file>", "PEM file with the CA certificates of an external etcd")
      .option("--etcd-cert <file>", "PEM file with the client certificate for an external etcd")
      .option(
        "--etcd-key <file>",
        "PEM file with the private key of the client certificate, without a passphrase",
      )
      .option("-f, --force", "restore even if a server of the cluster responds")
      .action(lazyAction(cli, async () => (await import("../commands/backup/restore.js")).restoreBackup)),
    [
      "berth backup restore berth.age",
      "berth backup restore --identity-file key.txt --data-dir /srv/berth berth.age",
    ],
  );
}

/** Adds the options that specify how a backup is decrypted. */
function addUnlockOptions(command: Command): Command {
  return command
    .option(
      "--passphrase-file <path>",
      "file with the passphrase; - for standard input (default: prompt on a terminal)",
    )
    .option(
      "-i, --identity-file <path>",
      "file with the private key, for a backup that was created with --recipient",
    );
}
