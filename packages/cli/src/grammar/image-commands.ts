import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, addRefusedOptions, lazyAction, repeatableOption } from "./command-options.js";
import {
  REFUSED_IMAGE_LS_OPTIONS,
  REFUSED_IMAGE_PRUNE_OPTIONS,
  REFUSED_IMAGE_PUSH_OPTIONS,
  REFUSED_IMAGE_RM_OPTIONS,
} from "./refused-options.js";

/** Adds `berth image …`. */
export function addImageCommands(program: Command, cli: Cli): void {
  const image = program
    .command("image")
    .description("Manage images that the cluster distributes without a registry");
  addPush(image, cli);
  addExamples(
    addRefusedOptions(
      image
        .command("ls")
        .alias("list")
        .description("List the images that berth has distributed to nodes")
        .option("-a, --all", "list all images on all nodes")
        .option("-q, --quiet", "only display IDs")
        .action(lazyAction(cli, async () => (await import("../commands/image/ls.js")).listImages)),
      REFUSED_IMAGE_LS_OPTIONS,
    ),
    ["berth image ls", "berth image ls --all -o json"],
  );
  addExamples(
    image
      .command("df")
      .description("Show the disk space that images use on each node")
      .addHelpText(
        "after",
        `
SIZE counts each layer of the images in Docker once. LAYERS FOR OTHER NODES is the cache from which other nodes copy
layers; berth image prune empties it.`,
      )
      .action(lazyAction(cli, async () => (await import("../commands/image/df.js")).showImageDiskUsage)),
    ["berth image df", "berth image df -o json"],
  );
  addRemovalCommands(image, cli);
}

function addPush(image: Command, cli: Cli): void {
  addExamples(
    addRefusedOptions(
      image
        .command("push")
        .argument("<image>", "image in the local Docker daemon")
        .description(
          "Send an image from the local Docker daemon to nodes; layers that a node already has are not sent",
        )
        .addOption(
          repeatableOption("--node <node>", "node that gets the image (default: the leader selects one)"),
        )
        .option("-q, --quiet", "suppress progress output")
        .addHelpText(
          "after",
          `
berth stack deploy and berth service update do this for images that no registry has. Nodes get an image from each other
when a task needs it.`,
        )
        .action(lazyAction(cli, async () => (await import("../commands/image/push.js")).pushImageCommand)),
      REFUSED_IMAGE_PUSH_OPTIONS,
    ),
    ["berth image push web:1", "berth image push --node host-1 --node host-2 web:1"],
  );
}

function addRemovalCommands(image: Command, cli: Cli): void {
  addExamples(
    addRefusedOptions(
      image
        .command("rm")
        .alias("remove")
        .argument("<image...>", "name, ID, or unique prefix of an ID")
        .description(
          "Remove images that berth has distributed from all nodes; images in use by services are kept",
        )
        .action(lazyAction(cli, async () => (await import("../commands/image/rm.js")).removeImages)),
      REFUSED_IMAGE_RM_OPTIONS,
    ),
    ["berth image rm web:1", "berth image rm 194cb8b7e329"],
  );
  addExamples(
    addRefusedOptions(
      image
        .command("prune")
        .description(
          "Remove all images that berth has distributed and that no stored version of a service refers to",
        )
        .addHelpText("after", "\nThe leader also does this once an hour, for images older than a day.")
        .action(lazyAction(cli, async () => (await import("../commands/image/rm.js")).pruneImages)),
      REFUSED_IMAGE_PRUNE_OPTIONS,
    ),
    ["berth image prune"],
  );
}
