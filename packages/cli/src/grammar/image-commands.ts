import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction, repeatableOption } from "./command-options.js";

/** Adds `berth image …`. */
export function addImageCommands(program: Command, cli: Cli): void {
  const image = program
    .command("image")
    .description("Manage images that the cluster distributes without a registry");
  addExamples(
    image
      .command("push")
      .argument("<image>", "image of the local Docker")
      .description("Send an image of the local Docker to nodes; only layers that no node has are sent")
      .addOption(
        repeatableOption("--node <node>", "node that gets the image; by default, the leader selects one"),
      )
      .option("-q, --quiet", "print no progress")
      .addHelpText(
        "after",
        `
berth stack deploy and berth service update do this for images that no registry has. Nodes get an image from each other
when a task needs it.`,
      )
      .action(lazyAction(cli, async () => (await import("../commands/image/push.js")).pushImageCommand)),
    ["berth image push web:1", "berth image push --node host-1 --node host-2 web:1"],
  );
  addExamples(
    image
      .command("ls")
      .alias("list")
      .description("List the images that berth has brought to nodes")
      .option("-a, --all", "list all images on all nodes")
      .option("-q, --quiet", "only display IDs")
      .action(lazyAction(cli, async () => (await import("../commands/image/ls.js")).listImages)),
    ["berth image ls", "berth image ls --all -o json"],
  );
  addExamples(
    image
      .command("rm")
      .alias("remove")
      .argument("<image...>", "name, ID, or unique prefix of an ID")
      .description("Remove images that berth has brought from all nodes; images that services use stay")
      .action(lazyAction(cli, async () => (await import("../commands/image/rm.js")).removeImages)),
    ["berth image rm web:1", "berth image rm 194cb8b7e329"],
  );
  addExamples(
    image
      .command("prune")
      .description("Remove all images that berth has brought and no kept version of a service names")
      .addHelpText("after", "\nThe leader does this once an hour with images that are older than a day.")
      .action(lazyAction(cli, async () => (await import("../commands/image/rm.js")).pruneImages)),
    ["berth image prune"],
  );
}
