import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction } from "./command-options.js";

/** Adds the commands that concern the CLI itself: `version`, `context …`, `completion …`. */
export function addClientCommands(program: Command, cli: Cli): void {
  addExamples(
    program
      .command("version")
      .description("Show the client and server version information")
      .action(lazyAction(cli, async () => (await import("../commands/cluster/version.js")).showVersion)),
    ["berth version", "berth version -o json"],
  );
  addContextCommands(program, cli);
  addExamples(
    program
      .command("completion")
      .argument("<shell>", "bash, zsh or fish")
      .description("Generate the completion script for a shell")
      .action(
        lazyAction(
          cli,
          async () => (await import("../commands/completion/print-completion.js")).printCompletion,
        ),
      ),
    ["berth completion bash > /etc/bash_completion.d/berth", "berth completion fish | source"],
  );
}

function addContextCommands(program: Command, cli: Cli): void {
  const context = program.command("context").description("Manage contexts (saved servers and identities)");
  const load = () => import("../commands/context/edit-contexts.js");
  addExamples(
    context
      .command("ls")
      .alias("list")
      .description("List contexts and their identities")
      .option("-q, --quiet", "only display names")
      .action(
        lazyAction(cli, async () => (await import("../commands/context/list-contexts.js")).listContexts),
      ),
    ["berth context ls"],
  );
  addExamples(
    context
      .command("create")
      .argument("<name>")
      .description("Create or replace a context with the servers from --server")
      .option(
        "--invitation-file <path>",
        'file with an invitation, for a certificate; "-" reads it from stdin, or asks for it on a terminal',
      )
      .addHelpText(
        "after",
        `
With an invitation of "berth user invite", the context gets a private key, which stays on this computer, and a
certificate. Commands that use the context connect with it, and renew the certificate when it is due. Only a Unix socket
needs no invitation.`,
      )
      .action(lazyAction(cli, async () => (await load()).createContext)),
    [
      "berth context create prod --server 10.0.0.1:7400,10.0.0.2:7400 --invitation-file -",
      "berth context create ci --server 10.0.0.1:7400 --invitation-file invitation",
      "berth context create local --server unix:/run/berth/server.sock",
    ],
  );
  addExamples(
    context
      .command("update")
      .argument("<context>")
      .description("Replace the servers of a context with those from --server, and keep its identity")
      .action(lazyAction(cli, async () => (await load()).updateContext)),
    ["berth context update prod --server 10.0.0.3:7400"],
  );
  addExamples(
    context
      .command("use")
      .argument("<context>")
      .description("Set the current context")
      .action(lazyAction(cli, async () => (await load()).useContext)),
    ["berth context use lab"],
  );
  addExamples(
    context
      .command("rm")
      .alias("remove")
      .argument("<context>")
      .description("Remove a context with its identity")
      .action(lazyAction(cli, async () => (await load()).removeContext)),
    ["berth context rm lab"],
  );
}
