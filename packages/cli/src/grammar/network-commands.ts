import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, filterOption, lazyAction, repeatableOption } from "./command-options.js";

/** Adds `berth network …`. */
export function addNetworkCommands(program: Command, cli: Cli): void {
  const network = program.command("network").description("Manage networks");
  addExamples(
    network
      .command("ls")
      .alias("list")
      .description("List networks")
      .addOption(filterOption(["id", "name", "label", "stack"]))
      .option("--no-trunc", "do not truncate output")
      .option("-q, --quiet", "only display network IDs")
      .action(lazyAction(cli, async () => (await import("../commands/network/ls.js")).listNetworks)),
    ["berth network ls", "berth network ls --filter stack=shop"],
  );
  addExamples(
    network
      .command("inspect")
      .argument("<network...>")
      .description("Display detailed information on one or more networks")
      .option("--pretty", "print the information in a human friendly format")
      .action(lazyAction(cli, async () => (await import("../commands/network/inspect.js")).inspectNetworks)),
    ["berth network inspect --pretty shop_default"],
  );
  addExamples(
    network
      .command("create")
      .argument("<new-network>")
      .description("Create a network that stacks can use as an external network")
      .option(
        "-d, --driver <driver>",
        "driver to manage the network: overlay or bridge (same effect)",
        "overlay",
      )
      .option("--attachable", "enable manual container attachment")
      .option("--internal", "restrict external access to the network")
      .option("--subnet <subnet>", "subnet in CIDR format, such as 10.20.0.0/16 (default: a free one)")
      .addOption(
        repeatableOption(
          "--opt <name=value>",
          "driver option: encrypted=true, com.docker.network.driver.mtu=1400",
        ),
      )
      .addOption(repeatableOption("--label <key=value>", "set metadata on the network"))
      .action(lazyAction(cli, async () => (await import("../commands/network/create.js")).createNetwork)),
    ["berth network create proxy", "berth network create --internal --subnet 10.20.0.0/16 back"],
  );
  addExamples(
    network
      .command("rm")
      .alias("remove")
      .argument("<network...>")
      .description("Remove one or more unused networks")
      .action(lazyAction(cli, async () => (await import("../commands/network/rm.js")).removeNetworks)),
    ["berth network rm proxy"],
  );
}
