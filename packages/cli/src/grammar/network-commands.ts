import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction, repeatableOption } from "./grammar.js";

/** `berth network …` */
export function addNetworkCommands(program: Command, cli: Cli): void {
  const network = program.command("network").description("Look at and change networks that span hosts");
  addExamples(
    network
      .command("ls")
      .alias("list")
      .description("List networks")
      .addOption(
        repeatableOption("-f, --filter <filter>", "only networks that match: id=, name=, label=, stack="),
      )
      .option("--no-trunc", "show ids whole")
      .option("-q, --quiet", "only ids")
      .action(lazyAction(cli, async () => (await import("../commands/network/ls.js")).listNetworks)),
    ["berth network ls", "berth network ls --filter stack=shop"],
  );
  addExamples(
    network
      .command("inspect")
      .argument("<network...>")
      .description("Show everything about networks")
      .option("--pretty", "for a person instead of JSON")
      .action(lazyAction(cli, async () => (await import("../commands/network/inspect.js")).inspectNetworks)),
    ["berth network inspect --pretty shop_default"],
  );
  addExamples(
    network
      .command("create")
      .argument("<new-network>")
      .description("Make a network that stacks can join as an external one")
      .option("-d, --driver <driver>", "overlay or bridge, which mean the same", "overlay")
      .option("--attachable", "containers that berth did not make may join it")
      .option("--internal", "no way out of it, and none in")
      .option("--subnet <subnet>", "its addresses, such as 10.20.0.0/16, instead of free ones")
      .addOption(repeatableOption("--opt <name=value>", "encrypted=true, com.docker.network.driver.mtu=1400"))
      .addOption(repeatableOption("--label <key=value>", "give it a label"))
      .action(lazyAction(cli, async () => (await import("../commands/network/create.js")).createNetwork)),
    ["berth network create proxy", "berth network create --internal --subnet 10.20.0.0/16 back"],
  );
  addExamples(
    network
      .command("rm")
      .alias("remove")
      .argument("<network...>")
      .description("Remove networks that no service uses")
      .action(lazyAction(cli, async () => (await import("../commands/network/rm.js")).removeNetworks)),
    ["berth network rm proxy"],
  );
}
