import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction, repeatableOption } from "./command-options.js";

/**
 * Default validity of a token. It is short, so that a token in a chat or a shell history expires soon. Tokens for many
 * hosts, such as those of an autoscaling group, need explicit limits.
 */
const DEFAULT_TTL = "1h";
const DEFAULT_USES = "1";

/** Adds `berth token …`. */
export function addTokenCommands(program: Command, cli: Cli): void {
  const token = program.command("token").description("Manage join tokens, which admit hosts to the cluster");
  const load = () => import("../commands/token/create.js");
  addExamples(
    addTokenOptions(
      token
        .command("create")
        .description("Create a join token, and show the command with which a host joins"),
    ).action(lazyAction(cli, async () => (await load()).createToken)),
    [
      "berth token create",
      "berth token create --role server",
      "berth token create --uses 50 --ttl 24h --approve",
      "berth token create --name host-4 --label zone=b > token",
    ],
  );
  addExamples(
    token
      .command("ls")
      .alias("list")
      .description("List the join tokens and invitations that are still valid; their secrets are not stored")
      .option("-q, --quiet", "only display token IDs")
      .action(lazyAction(cli, async () => (await import("../commands/token/ls.js")).listTokens)),
    ["berth token ls"],
  );
  addExamples(
    token
      .command("rm")
      .alias("remove")
      .argument("<token...>", "token IDs, or unique prefixes of them")
      .description("Remove one or more join tokens; hosts that have joined with them remain in the cluster")
      .action(lazyAction(cli, async () => (await import("../commands/token/rm.js")).removeTokens)),
    ["berth token rm 3f9a1c"],
  );
  addExamples(
    addTokenOptions(
      token.command("rotate").description("Create a join token, and remove all other tokens of its role"),
    ).action(lazyAction(cli, async () => (await load()).rotateToken)),
    ["berth token rotate", "berth token rotate --role server"],
  );
}

function addTokenOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--role <role>", "role of the host that joins").choices(["node", "server"]).default("node"),
    )
    .option("--ttl <duration>", "validity of the token: 1m to 30d", DEFAULT_TTL)
    .option("--uses <number>", "number of hosts that can join with the token: 1 to 10000", DEFAULT_USES)
    .option("--name <node>", "only admit a host with this name")
    .addOption(repeatableOption("--label <key=value>", "label of the nodes that join with the token"))
    .option("--approve", 'require "berth node accept" for nodes that join with the token')
    .option("-q, --quiet", "only display the token (default if the output is not a terminal)");
}
