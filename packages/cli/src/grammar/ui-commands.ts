import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction } from "./command-options.js";

/** Adds `berth ui …`. */
export function addUiCommands(program: Command, cli: Cli): void {
  const ui = program
    .command("ui")
    .description("Serve the web UI of the cluster on this computer, with the identity of the command line")
    .option("--port <port>", "port on 127.0.0.1; 0 for a free one", "0")
    .option("--read-only", "the web UI can only read")
    .action(lazyAction(cli, async () => (await import("../commands/ui/serve.js")).serveUi));
  addExamples(ui, ["berth ui", "berth ui --port 7480 --read-only"]);
  addExamples(
    ui
      .command("login")
      .description("Show links that log in to the pages of the servers, once, within a minute")
      .option("--read-only", "the session can only read, for example for a screen on the wall")
      .action(lazyAction(cli, async () => (await import("../commands/ui/login.js")).printLogin)),
    ["berth ui login", "berth ui login --read-only"],
  );
}
