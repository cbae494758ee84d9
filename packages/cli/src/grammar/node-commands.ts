import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import {
  addExamples,
  addTaskListOptions,
  addWaitOptions,
  filterOption,
  lazyAction,
  repeatableOption,
} from "./command-options.js";

/** Adds `berth node …`. */
export function addNodeCommands(program: Command, cli: Cli): void {
  const node = program.command("node").description("Manage nodes");
  addExamples(
    node
      .command("ls")
      .alias("list")
      .description("List nodes")
      .addOption(filterOption(["id", "name", "label", "node.label", "membership", "availability", "status"]))
      .option("-q, --quiet", "only display node IDs")
      .action(lazyAction(cli, async () => (await import("../commands/node/ls.js")).listNodes)),
    ["berth node ls", "berth node ls --filter status=down", "berth node ls --filter membership=pending"],
  );
  addExamples(
    node
      .command("inspect")
      .argument("<node...>")
      .description("Display detailed information on one or more nodes")
      .option("--pretty", "print the information in a human friendly format")
      .action(lazyAction(cli, async () => (await import("../commands/node/inspect.js")).inspectNodes)),
    ["berth node inspect --pretty host-1"],
  );
  addExamples(
    addTaskListOptions(
      node.command("ps").argument("<node...>").description("List tasks running on one or more nodes"),
    ).action(lazyAction(cli, async () => (await import("../commands/node/ps.js")).listNodeTasks)),
    ["berth node ps host-1"],
  );
  addExamples(
    node
      .command("update")
      .argument("<node>")
      .description("Update a node")
      .addOption(
        new Option(
          "--availability <availability>",
          "pause: assign no new tasks; drain: also move existing tasks to other nodes",
        ).choices(["active", "pause", "drain"]),
      )
      .addOption(repeatableOption("--label-add <key=value>", "add or update a node label"))
      .addOption(repeatableOption("--label-rm <key>", "remove a node label if it exists"))
      .action(lazyAction(cli, async () => (await import("../commands/node/update.js")).updateNode)),
    ["berth node update --availability drain host-1", "berth node update --label-add zone=a host-1"],
  );
  addAvailabilityCommands(node, cli);
  addExamples(
    node
      .command("accept")
      .argument("<node...>")
      .description("Accept one or more nodes that joined with a token that requires approval")
      .action(lazyAction(cli, async () => (await import("../commands/node/accept.js")).acceptNodes)),
    ["berth node accept host-4"],
  );
  addExamples(
    node
      .command("rm")
      .alias("remove")
      .argument("<node...>")
      .description("Remove one or more nodes from the cluster")
      .option("-f, --force", "also remove a node that is up; its agent joins again unless it is stopped")
      .action(lazyAction(cli, async () => (await import("../commands/node/rm.js")).removeNodes)),
    ["berth node rm host-3"],
  );
}

function addAvailabilityCommands(node: Command, cli: Cli): void {
  addExamples(
    addWaitOptions(
      node
        .command("drain")
        .argument("<node...>")
        .description("Move all tasks off one or more nodes and wait until the nodes are empty"),
    ).action(lazyAction(cli, async () => (await import("../commands/node/drain/drain.js")).drainNodes)),
    ["berth node drain host-1", "berth node drain host-1 host-2 --timeout 30m", "berth node drain -d host-1"],
  );
  const load = () => import("../commands/node/set-availability.js");
  addExamples(
    node
      .command("activate")
      .argument("<node...>")
      .description("Resume assigning tasks to one or more nodes")
      .action(lazyAction(cli, async () => (await load()).activateNodes)),
    ["berth node activate host-1"],
  );
  addExamples(
    node
      .command("pause")
      .argument("<node...>")
      .description("Stop assigning new tasks to one or more nodes; existing tasks keep running")
      .action(lazyAction(cli, async () => (await load()).pauseNodes)),
    ["berth node pause host-1"],
  );
}
