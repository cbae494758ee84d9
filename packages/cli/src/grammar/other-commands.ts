import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction } from "./grammar.js";

/** `berth version`, `berth context …`, `berth completion …` */
export function addOtherCommands(program: Command, cli: Cli): void {
  addExamples(
    program
      .command("version")
      .description("Show the versions of this program and of the server")
      .action(lazyAction(cli, async () => (await import("../commands/cluster/version.js")).showVersion)),
    ["berth version", "berth version -o json"],
  );
  addContextCommands(program, cli);
  addExamples(
    program
      .command("completion")
      .argument("<shell>", "bash, zsh or fish")
      .description("Print a script that completes berth's commands and names")
      .action(
        lazyAction(cli, async () => (await import("../completion/print-completion.js")).printCompletion),
      ),
    ["berth completion bash > /etc/bash_completion.d/berth", "berth completion fish | source"],
  );
}

function addContextCommands(program: Command, cli: Cli): void {
  const context = program.command("context").description("Save server addresses and choose one");
  const load = () => import("../commands/context/edit-contexts.js");
  addExamples(
    context
      .command("ls")
      .alias("list")
      .description("List saved contexts")
      .action(lazyAction(cli, async () => (await load()).listContexts)),
    ["berth context ls"],
  );
  addExamples(
    context
      .command("create")
      .argument("<name>")
      .description("Save a server's address (--server) under a name")
      .action(lazyAction(cli, async () => (await load()).createContext)),
    ["berth context create lab --server 10.0.0.1:7400"],
  );
  addExamples(
    context
      .command("use")
      .argument("<context>")
      .description("Talk to this server from now on")
      .action(lazyAction(cli, async () => (await load()).useContext)),
    ["berth context use lab"],
  );
  addExamples(
    context
      .command("rm")
      .alias("remove")
      .argument("<context>")
      .description("Forget a saved address")
      .action(lazyAction(cli, async () => (await load()).removeContext)),
    ["berth context rm lab"],
  );
}
