import { Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import { addAuthorityCommands } from "./authority-commands.js";
import { addBackupCommands } from "./backup-commands.js";
import { addClientCommands } from "./client-commands.js";
import { addClusterCommands } from "./cluster-commands.js";
import { addContainerCommands } from "./container-commands.js";
import { addFileCommands } from "./file-commands.js";
import { addHostCommands } from "./host-commands.js";
import { addImageCommands } from "./image-commands.js";
import { addNetworkCommands } from "./network-commands.js";
import { addNodeCommands } from "./node-commands.js";
import { addPolicyCommands } from "./policy-commands.js";
import { addRegistryCommands } from "./registry-commands.js";
import { addServerCommands } from "./server-commands.js";
import { addServiceCommands } from "./service-commands.js";
import { addStackCommands } from "./stack-commands.js";
import { addTokenCommands } from "./token-commands.js";
import { addUiCommands } from "./ui-commands.js";
import { addUserCommands } from "./user-commands.js";
import { addVolumeCommands } from "./volume-commands.js";

interface Subprogram {
  readonly load: () => Promise<{ readonly main: (argv: readonly string[]) => Promise<number> }>;
  readonly description: string;
}

/** Programs of other packages that `berth` runs. Each program parses its own arguments. */
export const SUBPROGRAMS: Readonly<Record<string, Subprogram>> = {
  server: {
    load: () => import("@berth/control-plane/main"),
    description: "Run a control-plane server",
  },
  agent: { load: () => import("@berth/agent/main"), description: "Run the agent of a Docker host" },
  doctor: {
    load: () => import("@berth/agent/doctor"),
    description: "Check whether this host meets the requirements of berth",
  },
};

/** Creates the grammar of the command line. Loads no handler: `lazyAction` imports it when its command runs. */
export function createProgram(cli: Cli): Command {
  const program: Command = new Command("berth")
    .description("Deploy Compose stacks across many Docker hosts, and keep them running when hosts fail")
    .addOption(
      new Option(
        "-s, --server <host:port,...>",
        "one or more servers to connect to, with the identity of the current context (env BERTH_SERVER; default: the servers of the current context, else unix:/run/berth/server.sock)",
      ),
    )
    .addOption(
      new Option("-o, --output <format>", "output format").choices(["table", "json"]).default("table"),
    )
    // `main` handles -v. As a global option, it would take the place of -v of berth run.
    .option("--version", "print version information and quit (also -v)")
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
  addHostCommands(program, cli);
  addNetworkCommands(program, cli);
  addVolumeCommands(program, cli);
  addFileCommands(program, cli);
  addImageCommands(program, cli);
  addRegistryCommands(program, cli);
  addPolicyCommands(program, cli);
  addTokenCommands(program, cli);
  addUserCommands(program, cli);
  addAuthorityCommands(program, cli);
  addServerCommands(program, cli);
  addBackupCommands(program, cli);
  addContainerCommands(program, cli);
  addClusterCommands(program, cli);
  addUiCommands(program, cli);
  addClientCommands(program, cli);
  for (const [name, { description }] of Object.entries(SUBPROGRAMS)) {
    if (name !== "server") program.command(name).description(description);
  }
  showHelpHintAfterErrors(program, "berth");
  return program;
}

/** Returns the options that apply to every command. */
export function globalOptions(program: Command): Option[] {
  return program.options.filter(({ long }) => long !== "--version");
}

/** Prints `See berth … --help` after each usage error, for the command and all of its subcommands. */
function showHelpHintAfterErrors(command: Command, commandLine: string): void {
  command.showHelpAfterError(`See ${commandLine} --help`);
  for (const child of command.commands) showHelpHintAfterErrors(child, `${commandLine} ${child.name()}`);
}
