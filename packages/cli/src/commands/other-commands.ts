import type { Command } from "commander";
import type { Cli } from "../cli.js";
import { examples, lazily } from "./grammar.js";

/** `berth version`, `berth context …`, `berth completion …` */
export function addOtherCommands(program: Command, cli: Cli): void {
  examples(
    program
      .command("version")
      .description("Show the versions of this program and of the server")
      .action(lazily(cli, async () => (await import("./version.js")).showVersion)),
    ["berth version", "berth version -o json"],
  );
  addContextCommands(program, cli);
  examples(
    program
      .command("completion")
      .argument("<shell>", "bash, zsh or fish")
      .description("Print a script that completes berth's commands and names")
      .action(lazily(cli, async () => (await import("./completion.js")).printCompletion)),
    ["berth completion bash > /etc/bash_completion.d/berth", "berth completion fish | source"],
  );
}

function addContextCommands(program: Command, cli: Cli): void {
  const context = program.command("context").description("Save server addresses and choose one");
  const load = () => import("./context/edit-contexts.js");
  examples(
    context
      .command("ls")
      .alias("list")
      .description("List saved contexts")
      .action(lazily(cli, async () => (await load()).listContexts)),
    ["berth context ls"],
  );
  examples(
    context
      .command("create")
      .argument("<name>")
      .description("Save a server's address (--server) under a name")
      .action(lazily(cli, async () => (await load()).createContext)),
    ["berth context create lab --server 10.0.0.1:7400"],
  );
  examples(
    context
      .command("use")
      .argument("<context>")
      .description("Talk to this server from now on")
      .action(lazily(cli, async () => (await load()).useContext)),
    ["berth context use lab"],
  );
  examples(
    context
      .command("rm")
      .alias("remove")
      .argument("<context>")
      .description("Forget a saved address")
      .action(lazily(cli, async () => (await load()).removeContext)),
    ["berth context rm lab"],
  );
}
