import { type Command, Option } from "commander";
import type { Cli } from "../cli.js";
import { addTaskListOptions, addWaitOptions, examples, lazily, repeatable } from "./grammar.js";

/** `berth node …` */
export function addNodeCommands(program: Command, cli: Cli): void {
  const node = program.command("node").description("Look at and change nodes");
  examples(
    node
      .command("ls")
      .alias("list")
      .description("List nodes")
      .addOption(
        repeatable(
          "-f, --filter <filter>",
          "only nodes that match: id=, name=, label=, node.label=, availability=, status=",
        ),
      )
      .option("-q, --quiet", "only ids")
      .action(lazily(cli, async () => (await import("./node/ls.js")).listNodes)),
    ["berth node ls", "berth node ls --filter status=down"],
  );
  examples(
    node
      .command("inspect")
      .argument("<node...>")
      .description("Show everything about nodes")
      .option("--pretty", "for a person instead of JSON")
      .action(lazily(cli, async () => (await import("./node/inspect.js")).inspectNodes)),
    ["berth node inspect --pretty host-1"],
  );
  examples(
    addTaskListOptions(
      node.command("ps").argument("<node...>").description("List the tasks of nodes"),
    ).action(lazily(cli, async () => (await import("./node/ps.js")).listNodeTasks)),
    ["berth node ps host-1"],
  );
  examples(
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
      .addOption(repeatable("--label-add <key=value>", "add a label, or change it"))
      .addOption(repeatable("--label-rm <key>", "remove a label"))
      .action(lazily(cli, async () => (await import("./node/update.js")).updateNode)),
    ["berth node update --availability drain host-1", "berth node update --label-add zone=a host-1"],
  );
  addAvailabilityCommands(node, cli);
  examples(
    node
      .command("rm")
      .alias("remove")
      .argument("<node...>")
      .description("Remove nodes from the cluster")
      .option("-f, --force", "also when the node is up; its agent joins again unless it is stopped")
      .action(lazily(cli, async () => (await import("./node/rm.js")).removeNodes)),
    ["berth node rm host-3"],
  );
}

function addAvailabilityCommands(node: Command, cli: Cli): void {
  examples(
    addWaitOptions(
      node
        .command("drain")
        .argument("<node...>")
        .description("Move the tasks of nodes elsewhere, and wait until none is left there"),
    ).action(lazily(cli, async () => (await import("./node/drain.js")).drainNodes)),
    ["berth node drain host-1", "berth node drain host-1 host-2 --timeout 30m", "berth node drain -d host-1"],
  );
  const load = () => import("./node/set-availability.js");
  examples(
    node
      .command("activate")
      .argument("<node...>")
      .description("Let nodes have tasks again")
      .action(lazily(cli, async () => (await load()).activateNodes)),
    ["berth node activate host-1"],
  );
  examples(
    node
      .command("pause")
      .argument("<node...>")
      .description("Give nodes no new tasks; they keep those that they have")
      .action(lazily(cli, async () => (await load()).pauseNodes)),
    ["berth node pause host-1"],
  );
}
