import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import {
  addExamples,
  addServiceListOptions,
  addTaskListOptions,
  addWaitOptions,
  lazyAction,
  repeatableOption,
} from "./grammar.js";

/** `berth stack …` */
export function addStackCommands(program: Command, cli: Cli): void {
  const stack = program.command("stack").description("Deploy and look at stacks");
  addDeploy(stack, cli);
  addExamples(
    stack
      .command("ls")
      .alias("list")
      .description("List stacks")
      .option("-q, --quiet", "only names")
      .action(lazyAction(cli, async () => (await import("../commands/stack/ls.js")).listStacks)),
    ["berth stack ls", "berth stack ls -o json"],
  );
  addExamples(
    addTaskListOptions(
      stack.command("ps").argument("<stack>").description("List the tasks of a stack"),
    ).action(lazyAction(cli, async () => (await import("../commands/stack/ps.js")).listStackTasks)),
    ["berth stack ps shop", "berth stack ps shop --filter desired-state=running --no-trunc"],
  );
  addExamples(
    addServiceListOptions(
      stack.command("services").argument("<stack>").description("List the services of a stack"),
    ).action(lazyAction(cli, async () => (await import("../commands/stack/services.js")).listStackServices)),
    ["berth stack services shop", "berth stack services shop -o json"],
  );
  addExamples(
    addWaitOptions(
      stack.command("rm").aliases(["remove", "down"]).argument("<stack...>").description("Remove stacks"),
    ).action(lazyAction(cli, async () => (await import("../commands/stack/rm.js")).removeStacks)),
    ["berth stack rm shop", "berth stack rm shop blog --detach"],
  );
}

function addDeploy(stack: Command, cli: Cli): void {
  const deploy = stack
    .command("deploy")
    .alias("up")
    .argument("<stack>")
    .description("Make a stack what its Compose files say, and wait until it is")
    .addOption(
      repeatableOption(
        "-c, --compose-file <file>",
        'a Compose file, or "-" for stdin; later ones win',
      ).makeOptionMandatory(),
    )
    .addOption(repeatableOption("--env-file <file>", "variables for the Compose files, instead of .env"))
    .option("--prune", "also remove services of the stack that the files do not name")
    .option("--dry-run", "only show what would change, task by task, and why")
    .option("--plan-rev <rev>", "do it only if that is the plan which a dry run called so")
    .option("-q, --quiet", "show neither warnings nor progress");
  addExamples(
    addWaitOptions(deploy).action(
      lazyAction(cli, async () => (await import("../commands/stack/deploy.js")).deployStack),
    ),
    [
      "berth stack deploy -c compose.yaml shop",
      "berth stack deploy -c compose.yaml -c production.yaml --prune shop",
      "berth stack deploy -c compose.yaml --dry-run shop",
      "berth stack deploy -c compose.yaml --plan-rev 3f9d0c2b7a41-9c1e shop",
      "berth stack deploy -c - --detach shop < compose.yaml",
    ],
  );
}
