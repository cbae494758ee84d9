import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, addTaskListOptions, addWaitOptions, lazyAction, repeatableOption } from "./grammar.js";

/** `berth node …` */
export function addNodeCommands(program: Command, cli: Cli): void {
  const node = program.command("node").description("Look at and change nodes");
  addExamples(
    node
      .command("ls")
      .alias("list")
      .description("List nodes")
      .addOption(
        repeatableOption(
          "-f, --filter <filter>",
          "only nodes that match: id=, name=, label=, node.label=, availability=, status=",
        ),
      )
      .option("-q, --quiet", "only ids")
      .action(lazyAction(cli, async () => (await import("../commands/node/ls.js")).listNodes)),
    ["berth node ls", "berth node ls --filter status=down"],
  );
  addExamples(
    node
      .command("inspect")
      .argument("<node...>")
      .description("Show everything about nodes")
      .option("--pretty", "for a person instead of JSON")
      .action(lazyAction(cli, async () => (await import("../commands/node/inspect.js")).inspectNodes)),
    ["berth node inspect --pretty host-1"],
  );
  addExamples(
    addTaskListOptions(
      node.command("ps").argument("<node...>").description("List the tasks of nodes"),
    ).action(lazyAction(cli, async () => (await import("../commands/node/ps.js")).listNodeTasks)),
    ["berth node ps host-1"],
  );
  addExamples(
    node
      .command("update")
      .argument("<node>")
      .description("Change a node")
      .addOption(
        new Option(
          "--availability <word>",
          "pause: no new tasks, drain: its tasks move elsewhere too",
        ).choices(["active", "pause", "drain"]),
      )
      .addOption(repeatableOption("--label-add <key=value>", "add a label, or change it"))
      .addOption(repeatableOption("--label-rm <key>", "remove a label"))
      .action(lazyAction(cli, async () => (await import("../commands/node/update.js")).updateNode)),
    ["berth node update --availability drain host-1", "berth node update --label-add zone=a host-1"],
  );
  addAvailabilityCommands(node, cli);
  addExamples(
    node
      .command("rm")
      .alias("remove")
      .argument("<node...>")
      .description("Remove nodes from the cluster")
      .option("-f, --force", "also when the node is up; its agent joins again unless it is stopped")
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
        .description("Move the tasks of nodes elsewhere, and wait until none is left there"),
    ).action(lazyAction(cli, async () => (await import("../commands/node/drain/drain.js")).drainNodes)),
    ["berth node drain host-1", "berth node drain host-1 host-2 --timeout 30m", "berth node drain -d host-1"],
  );
  const load = () => import("../commands/node/set-availability.js");
  addExamples(
    node
      .command("activate")
      .argument("<node...>")
      .description("Let nodes have tasks again")
      .action(lazyAction(cli, async () => (await load()).activateNodes)),
    ["berth node activate host-1"],
  );
  addExamples(
    node
      .command("pause")
      .argument("<node...>")
      .description("Give nodes no new tasks; they keep those that they have")
      .action(lazyAction(cli, async () => (await load()).pauseNodes)),
    ["berth node pause host-1"],
  );
}
