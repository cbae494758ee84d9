import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, filterOption, lazyAction, repeatableOption } from "./command-options.js";

/** Adds `berth volume …`. */
export function addVolumeCommands(program: Command, cli: Cli): void {
  const volume = program.command("volume").description("Manage the Docker volumes of the nodes");
  addExamples(
    volume
      .command("ls")
      .alias("list")
      .description("List the volumes of all nodes")
      .option("--node <node>", "only list the volumes of one node")
      .addOption(filterOption(["name", "driver", "label", "node", "dangling"]))
      .option("-q, --quiet", "only display volume names")
      .action(lazyAction(cli, async () => (await import("../commands/volume/ls.js")).listVolumes)),
    ["berth volume ls", "berth volume ls --node host-2 -f dangling=true"],
  );
  addExamples(
    volume
      .command("inspect")
      .argument("<volume...>")
      .description("Display detailed information on volumes, on every node that has them")
      .option("--node <node>", "only look on one node")
      .action(lazyAction(cli, async () => (await import("../commands/volume/inspect.js")).inspectVolumes)),
    ["berth volume inspect shop_data"],
  );
  addExamples(
    volume
      .command("create")
      .argument("<name>")
      .description("Create a volume on a node")
      .requiredOption("--node <node>", "the node")
      .option("-d, --driver <driver>", "volume driver name", "local")
      .addOption(repeatableOption("--label <key=value>", "set metadata for the volume"))
      .addOption(repeatableOption("--opt <key=value>", "set driver specific options"))
      .action(lazyAction(cli, async () => (await import("../commands/volume/create.js")).createVolume)),
    ["berth volume create --node host-2 shop_data"],
  );
  addExamples(
    volume
      .command("rm")
      .alias("remove")
      .argument("<volume...>")
      .description("Remove volumes that no container uses")
      .option("--node <node>", "the node, for a volume that several nodes have")
      .option("-f, --force", "ignore volumes that do not exist")
      .action(lazyAction(cli, async () => (await import("../commands/volume/rm.js")).removeVolumes)),
    ["berth volume rm --node host-2 shop_data"],
  );
  addExamples(
    volume
      .command("prune")
      .description("Remove the volumes of all nodes that no container uses")
      .option("--node <node>", "only remove the volumes of one node")
      .option("-a, --all", "also remove volumes with a name")
      .option("-f, --force", "confirm the removal")
      .action(lazyAction(cli, async () => (await import("../commands/volume/prune.js")).pruneVolumes)),
    ["berth volume prune --force", "berth volume prune --all --force --node host-2"],
  );
}
