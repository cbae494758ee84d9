import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction } from "./command-options.js";

/** Adds `berth registry …`. */
export function addRegistryCommands(program: Command, cli: Cli): void {
  const registry = program
    .command("registry")
    .description("Manage the registry logins with which nodes pull images");
  addExamples(
    registry
      .command("login")
      .argument("<server>", "registry, as written in image names, or docker.io for Docker Hub")
      .description("Store or replace the login for a registry, for all stacks, after a node has checked it")
      .requiredOption("-u, --username <name>", "user name")
      .option("--password-stdin", "read the password from stdin")
      .option("--skip-check", "store the login without checking it with the registry")
      .addHelpText(
        "after",
        `
Running tasks continue. Every later pull uses the new login, also on nodes that replace another one months later.`,
      )
      .action(lazyAction(cli, async () => (await import("../commands/registry/login.js")).loginToRegistry)),
    [
      "berth registry login -u ci registry.example.com:5000",
      "cat key.json | berth registry login -u _json_key --password-stdin gcr.io",
    ],
  );
  addExamples(
    registry
      .command("logout")
      .argument("<server...>")
      .description("Remove the logins for one or more registries; running tasks continue")
      .option("--stack <stack>", "remove the login that a deployment of this stack stored")
      .action(
        lazyAction(cli, async () => (await import("../commands/registry/logout.js")).logoutFromRegistries),
      ),
    ["berth registry logout ghcr.io", "berth registry logout --stack shop ghcr.io"],
  );
  addExamples(
    registry
      .command("ls")
      .alias("list")
      .description("List registry logins; passwords are never shown")
      .option("-q, --quiet", "only display servers")
      .action(lazyAction(cli, async () => (await import("../commands/registry/ls.js")).listRegistryLogins)),
    ["berth registry ls", "berth registry ls -o json"],
  );
}
