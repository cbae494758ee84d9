import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, addWaitOptions, lazyAction } from "./command-options.js";

/** Adds `berth ca …`. */
export function addAuthorityCommands(program: Command, cli: Cli): void {
  const ca = program.command("ca").description("Manage the CAs that sign the certificates of the cluster");
  addExamples(
    ca
      .command("ls")
      .alias("list")
      .description(
        "List the CAs with the number of nodes that have a certificate from each, and the progress of the rotation",
      )
      .option("-q, --quiet", "only display CA IDs")
      .action(lazyAction(cli, async () => (await import("../commands/ca/ls.js")).listAuthorities)),
    ["berth ca ls"],
  );
  addExamples(
    ca
      .command("show")
      .argument("[ca]", "CA ID or a unique prefix of it (default: the CA that issues certificates)")
      .description("Print the certificate of a CA")
      .action(lazyAction(cli, async () => (await import("../commands/ca/show.js")).showAuthority)),
    ["berth ca show", "berth ca show 3f9a1c > ca.pem"],
  );
  addExamples(
    addWaitOptions(
      ca
        .command("rotate")
        .description("Replace the CA. Certificates from the earlier CA stay valid until they are renewed")
        .option("--etcd", "replace the CA of etcd, whose members restart one at a time"),
    ).action(lazyAction(cli, async () => (await import("../commands/ca/rotate.js")).rotateAuthority)),
    ["berth ca rotate", "berth ca rotate --detach", "berth ca rotate --etcd"],
  );
  addExamples(
    ca
      .command("rm")
      .alias("remove")
      .argument("<ca>", "CA ID or a unique prefix of it")
      .option("-f, --force", "also remove a CA whose certificates are in use, which locks out their owners")
      .description("Stop trusting a CA early, or cancel a rotation that waits for a server")
      .action(lazyAction(cli, async () => (await import("../commands/ca/rm.js")).removeAuthority)),
    ["berth ca rm 3f9a1c", "berth ca rm --force 3f9a1c"],
  );
}
