import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, addWaitOptions, lazyAction } from "./command-options.js";

/** Subcommands of `berth server` that call a server. All others are part of the server program. */
export const SERVER_CLIENT_COMMANDS: readonly string[] = ["ls", "list", "rm", "remove"];

/** Adds `berth server …`. */
export function addServerCommands(program: Command, cli: Cli): void {
  const server = program
    .command("server")
    .description("Run a server of the control plane, and manage servers");
  addExamples(
    server
      .command("ls")
      .alias("list")
      .description("List servers and their etcd members")
      .option("-q, --quiet", "only display server IDs")
      .action(lazyAction(cli, async () => (await import("../commands/server/ls.js")).listServers)),
    ["berth server ls", "berth server ls -o json"],
  );
  addExamples(
    addWaitOptions(
      server
        .command("rm")
        .alias("remove")
        .argument("<server>", "ID, hostname or address")
        .description("Remove a server permanently: revoke its identity and remove its etcd member")
        .option("-f, --force", "also remove a server that is up, which then stops"),
    ).action(lazyAction(cli, async () => (await import("../commands/server/rm.js")).removeServer)),
    ["berth server rm host-3", "berth server rm 10.0.0.3:7400", "berth server rm --force host-3"],
  );
  // The server program parses the arguments of these commands. They are listed here for help and completion.
  server.command("join").description("Join a cluster as a server");
  server.command("recover").description("Continue with this server alone after the loss of the quorum");
}
