import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import {
  addExamples,
  addRefusedOptions,
  filterOption,
  lazyAction,
  repeatableOption,
} from "./command-options.js";
import { REFUSED_FORMAT, REFUSED_VOLUME_PRUNE_OPTIONS } from "./refused-options.js";

/** Adds `berth volume …`. */
export function addVolumeCommands(program: Command, cli: Cli): void {
  const volume = program.command("volume").description("Manage the Docker volumes of the nodes");
  addExamples(
    addRefusedOptions(
      volume
        .command("ls")
        .alias("list")
        .description("List the volumes on all nodes")
        .option("--node <node>", "only list the volumes on one node")
        .addOption(filterOption(["name", "driver", "label", "node", "dangling"]))
        .option("-q, --quiet", "only display volume names")
        .action(lazyAction(cli, async () => (await import("../commands/volume/ls.js")).listVolumes)),
      REFUSED_FORMAT,
    ),
    ["berth volume ls", "berth volume ls --node host-2 -f dangling=true"],
  );
  addExamples(
    addRefusedOptions(
      volume
        .command("inspect")
        .argument("<volume...>")
        .description("Display detailed information on one or more volumes, on every node that has them")
        .option("--node <node>", "only display volumes on this node")
        .action(lazyAction(cli, async () => (await import("../commands/volume/inspect.js")).inspectVolumes)),
      REFUSED_FORMAT,
    ),
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
      .option("--node <node>", "node that has the volume, if several nodes have one with this name")
      .option("-f, --force", "ignore volumes that do not exist")
      .action(lazyAction(cli, async () => (await import("../commands/volume/rm.js")).removeVolumes)),
    ["berth volume rm --node host-2 shop_data"],
  );
  addExamples(
    addRefusedOptions(
      volume
        .command("prune")
        .description("Remove unused volumes on all nodes")
        .option("--node <node>", "only remove volumes on this node")
        .option("-a, --all", "also remove named volumes")
        .option("-f, --force", "confirm the removal")
        .action(lazyAction(cli, async () => (await import("../commands/volume/prune.js")).pruneVolumes)),
      REFUSED_VOLUME_PRUNE_OPTIONS,
    ),
    ["berth volume prune --force", "berth volume prune --all --force --node host-2"],
  );
}
