import { Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import { addNetworkCommands } from "./network-commands.js";
import { addNodeCommands } from "./node-commands.js";
import { addOperateCommands } from "./operate-commands.js";
import { addOtherCommands } from "./other-commands.js";
import { addServiceCommands } from "./service-commands.js";
import { addStackCommands } from "./stack-commands.js";

/** Programs of the other packages that `berth` runs; each reads its own command line. */
export const SUBPROGRAMS: Readonly<
  Record<string, { readonly module: string; readonly description: string }>
> = {
  server: { module: "@berth/control-plane/main", description: "Run a control-plane server" },
  agent: { module: "@berth/agent/main", description: "Run the agent of a Docker host" },
  doctor: {
    module: "@berth/agent/doctor",
    description: "Look whether this host can do all that berth asks of it",
  },
};

/** The grammar of the command line. Loads nothing else: what a command does is loaded when it runs. */
export function createProgram(cli: Cli): Command {
  const program: Command = new Command("berth")
    .description("Deploys Compose stacks over many Docker hosts and keeps them running when hosts die")
    .addOption(
      new Option(
        "-s, --server <host:port,...>",
        "the servers to talk to, any of them (BERTH_SERVER; default: the context's)",
      ),
    )
    .addOption(
      new Option("-o, --output <format>", "how to print").choices(["table", "json"]).default("table"),
    )
    .option("-v, --version", "show this program's version")
    .configureHelp({
      showGlobalOptions: true,
      sortSubcommands: false,
      visibleGlobalOptions: (command): Option[] => (command === program ? [] : globalOptions(program)),
    })
    .configureOutput({
      writeOut: (text) => cli.stdout.write(text),
      writeErr: (text) => cli.stderr.write(text),
    })
    .showSuggestionAfterError()
    .exitOverride();
  addStackCommands(program, cli);
  addServiceCommands(program, cli);
  addNodeCommands(program, cli);
  addNetworkCommands(program, cli);
  addOperateCommands(program, cli);
  addOtherCommands(program, cli);
  for (const [name, { description }] of Object.entries(SUBPROGRAMS)) {
    program.command(name).description(description);
  }
  showHelpHintAfterErrors(program, "berth");
  return program;
}

/** Those that mean something to every command. */
export function globalOptions(program: Command): Option[] {
  return program.options.filter(({ long }) => long !== "--version");
}

/** After what is wrong with a command line, where its right form stands. */
function showHelpHintAfterErrors(command: Command, words: string): void {
  command.showHelpAfterError(`See ${words} --help`);
  for (const child of command.commands) showHelpHintAfterErrors(child, `${words} ${child.name()}`);
}
