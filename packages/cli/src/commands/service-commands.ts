import type { Command } from "commander";
import type { Cli } from "../cli.js";
import { addServiceListOptions, addTaskListOptions, addWaitOptions, examples, lazily } from "./grammar.js";
import { addLogs } from "./operate-commands.js";
import { addRollback, addUpdate } from "./service-update-commands.js";

/** `berth service …` */
export function addServiceCommands(program: Command, cli: Cli): void {
  const service = program.command("service").description("Look at and change services");
  examples(
    addServiceListOptions(service.command("ls").alias("list").description("List services")).action(
      lazily(cli, async () => (await import("./service/ls.js")).listServices),
    ),
    ["berth service ls", "berth service ls --filter mode=global"],
  );
  examples(
    addTaskListOptions(
      service.command("ps").argument("<service...>").description("List the tasks of services"),
    ).action(lazily(cli, async () => (await import("./service/ps.js")).listServiceTasks)),
    ["berth service ps shop_web", "berth service ps shop_web --no-trunc"],
  );
  examples(
    service
      .command("inspect")
      .argument("<service...>")
      .description("Show everything about services")
      .option("--pretty", "for a person instead of JSON")
      .action(lazily(cli, async () => (await import("./service/inspect.js")).inspectServices)),
    ["berth service inspect shop_web", "berth service inspect --pretty shop_web"],
  );
  examples(
    addWaitOptions(
      service
        .command("scale")
        .argument("<service=replicas...>")
        .description("Set how many tasks replicated services have"),
    ).action(lazily(cli, async () => (await import("./service/scale.js")).scaleServices)),
    ["berth service scale shop_web=5", "berth service scale shop_web=5 shop_worker=2 --detach"],
  );
  addUpdate(service, cli);
  addRollback(service, cli);
  addLogs(service, cli, "berth service logs");
  examples(
    addWaitOptions(
      service.command("rm").alias("remove").argument("<service...>").description("Remove services"),
    ).action(lazily(cli, async () => (await import("./service/rm.js")).removeNamedServices)),
    ["berth service rm shop_web"],
  );
}
