import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction } from "./command-options.js";

/** Adds `berth registry …`. */
export function addRegistryCommands(program: Command, cli: Cli): void {
  const registry = program
    .command("registry")
    .description("Manage logins for image registries, which nodes use to pull images");
  addExamples(
    registry
      .command("login")
      .argument("<server>", "registry as in the names of its images, or docker.io for Docker Hub")
      .description("Store or replace the login of a registry for all stacks, after a node has checked it")
      .requiredOption("-u, --username <name>", "user name")
      .option("--password-stdin", "read the password from stdin instead of asking for it")
      .option("--skip-check", "store the login without asking the registry")
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
      .description("Remove the logins of one or more registries; running tasks continue")
      .option("--stack <stack>", "remove the login that a deployment of this stack has stored")
      .action(
        lazyAction(cli, async () => (await import("../commands/registry/logout.js")).logoutFromRegistries),
      ),
    ["berth registry logout ghcr.io", "berth registry logout --stack shop ghcr.io"],
  );
  addExamples(
    registry
      .command("ls")
      .alias("list")
      .description("List the logins of registries; passwords are never shown")
      .option("-q, --quiet", "only display servers")
      .action(lazyAction(cli, async () => (await import("../commands/registry/ls.js")).listRegistryLogins)),
    ["berth registry ls", "berth registry ls -o json"],
  );
}
