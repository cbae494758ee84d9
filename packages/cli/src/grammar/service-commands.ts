import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import {
  addExamples,
  addServiceListOptions,
  addTaskListOptions,
  addWaitOptions,
  lazyAction,
} from "./grammar.js";
import { addLogs } from "./operate-commands.js";
import { addRollback, addUpdate } from "./service-update-commands.js";

/** `berth service …` */
export function addServiceCommands(program: Command, cli: Cli): void {
  const service = program.command("service").description("Look at and change services");
  addExamples(
    addServiceListOptions(service.command("ls").alias("list").description("List services")).action(
      lazyAction(cli, async () => (await import("../commands/service/ls.js")).listServices),
    ),
    ["berth service ls", "berth service ls --filter mode=global"],
  );
  addExamples(
    addTaskListOptions(
      service.command("ps").argument("<service...>").description("List the tasks of services"),
    ).action(lazyAction(cli, async () => (await import("../commands/service/ps.js")).listServiceTasks)),
    ["berth service ps shop_web", "berth service ps shop_web --no-trunc"],
  );
  addExamples(
    service
      .command("inspect")
      .argument("<service...>")
      .description("Show everything about services")
      .option("--pretty", "for a person instead of JSON")
      .action(lazyAction(cli, async () => (await import("../commands/service/inspect.js")).inspectServices)),
    ["berth service inspect shop_web", "berth service inspect --pretty shop_web"],
  );
  addExamples(
    addWaitOptions(
      service
        .command("scale")
        .argument("<service=replicas...>")
        .description("Set how many tasks replicated services have"),
    ).action(lazyAction(cli, async () => (await import("../commands/service/scale.js")).scaleServices)),
    ["berth service scale shop_web=5", "berth service scale shop_web=5 shop_worker=2 --detach"],
  );
  addUpdate(service, cli);
  addRollback(service, cli);
  addLogs(service, cli, "berth service logs");
  addExamples(
    addWaitOptions(
      service.command("rm").alias("remove").argument("<service...>").description("Remove services"),
    ).action(lazyAction(cli, async () => (await import("../commands/service/rm.js")).removeNamedServices)),
    ["berth service rm shop_web"],
  );
}
