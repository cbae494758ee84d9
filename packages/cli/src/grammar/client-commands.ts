import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction } from "./command-options.js";

/** Adds the commands about this program: `version`, `context …`, `completion …`. */
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
  const context = program.command("context").description("Manage contexts (saved server addresses)");
  const load = () => import("../commands/context/edit-contexts.js");
  addExamples(
    context
      .command("ls")
      .alias("list")
      .description("List contexts")
      .action(lazyAction(cli, async () => (await load()).listContexts)),
    ["berth context ls"],
  );
  addExamples(
    context
      .command("create")
      .argument("<name>")
      .description("Create or replace a context with the address from --server")
      .action(lazyAction(cli, async () => (await load()).createContext)),
    ["berth context create lab --server 10.0.0.1:7400"],
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
      .description("Remove a context")
      .action(lazyAction(cli, async () => (await load()).removeContext)),
    ["berth context rm lab"],
  );
}
