import { type Command, Option } from "commander";
import { CREATE_OPTIONS } from "../commands/service/create/create-flags.js";
import type { Cli } from "../process/cli.js";
import { addLogs } from "./cluster-commands.js";
import {
  addExamples,
  addServiceListOptions,
  addTaskListOptions,
  addWaitOptions,
  lazyAction,
  repeatableOption,
  resolveImageOption,
} from "./command-options.js";
import { addFlagOptions, addUpdateFlags } from "./update-flags.js";

/** Adds `berth service …`. */
export function addServiceCommands(program: Command, cli: Cli): void {
  const service = program.command("service").description("Manage services");
  addExamples(
    addServiceListOptions(service.command("ls").alias("list").description("List services")).action(
      lazyAction(cli, async () => (await import("../commands/service/ls.js")).listServices),
    ),
    ["berth service ls", "berth service ls --filter mode=global"],
  );
  addExamples(
    addTaskListOptions(
      service.command("ps").argument("<service...>").description("List the tasks of one or more services"),
    ).action(lazyAction(cli, async () => (await import("../commands/service/ps.js")).listServiceTasks)),
    ["berth service ps shop_web", "berth service ps shop_web --no-trunc"],
  );
  addExamples(
    service
      .command("inspect")
      .argument("<service...>")
      .description("Display detailed information on one or more services")
      .option("--pretty", "print the information in a human friendly format")
      .action(lazyAction(cli, async () => (await import("../commands/service/inspect.js")).inspectServices)),
    ["berth service inspect shop_web", "berth service inspect --pretty shop_web"],
  );
  addExamples(
    addWaitOptions(
      service
        .command("scale")
        .argument("<service=replicas...>")
        .description("Scale one or multiple replicated services and wait for them to converge"),
    ).action(lazyAction(cli, async () => (await import("../commands/service/scale.js")).scaleServices)),
    ["berth service scale shop_web=5", "berth service scale shop_web=5 shop_worker=2 --detach"],
  );
  addCreate(service, cli);
  addUpdate(service, cli);
  addRollback(service, cli);
  addLogs(service, cli, "berth service logs");
  addExamples(
    addWaitOptions(
      service
        .command("rm")
        .alias("remove")
        .argument("<service...>")
        .description("Remove one or more services"),
    ).action(lazyAction(cli, async () => (await import("../commands/service/rm.js")).removeNamedServices)),
    ["berth service rm shop_web"],
  );
}

function addCreate(service: Command, cli: Cli): void {
  const create = addFlagOptions(
    service
      .command("create")
      .argument("<image>")
      .argument("[command...]", "command and arguments that override the image's")
      .description("Create a service and wait for it to converge")
      .option("--name <name>", "service name (default: the image name with a random suffix)")
      .option(
        "--stack <stack>",
        "create the service in this stack; the stack name becomes a prefix of the service name",
      )
      .addOption(
        new Option("--mode <mode>", "service mode")
          .choices(["replicated", "global", "replicated-job", "global-job"])
          .default("replicated"),
      )
      .addOption(repeatableOption("--env-file <file>", "read in a file of environment variables")),
    CREATE_OPTIONS,
  )
    .addOption(resolveImageOption("always"))
    .option(
      "--with-registry-auth",
      "store your Docker credentials for the image's registry with the stack of the service",
    )
    .option("-q, --quiet", "suppress progress output");
  addExamples(
    addWaitOptions(create).action(
      lazyAction(cli, async () => (await import("../commands/service/create/create.js")).createService),
    ),
    [
      "berth service create --name web --replicas 3 -p 8080:80 nginx:1.28",
      "berth service create --name agent --mode global --mount type=bind,src=/var/log,dst=/logs,ro agent:2",
      "berth service create --stack shop --name db --network shop_back --secret db_password postgres:17",
      "berth service create --name report --mode replicated-job --restart-condition none report:1 --month 2026-01",
    ],
  );
}

function addUpdate(service: Command, cli: Cli): void {
  const update = addUpdateFlags(
    service
      .command("update")
      .argument("<service>")
      .description("Update a service and wait for it to converge"),
  )
    .addOption(resolveImageOption("changed; always with --force"))
    .option("--force", "replace the tasks even if the changes do not require it")
    .option(
      "--with-registry-auth",
      "store your Docker credentials for the image's registry with the stack of the service",
    )
    .option("--rollback", "roll back to the last healthy version, like berth service rollback")
    .option("-q, --quiet", "suppress progress output");
  addExamples(
    addWaitOptions(update).action(
      lazyAction(cli, async () => (await import("../commands/service/update/update.js")).updateService),
    ),
    [
      "berth service update --image nginx:1.28 shop_web",
      "berth service update --resolve-image always shop_web",
      "berth service update --env-add MODE=live --env-rm DEBUG shop_web",
      "berth service update --update-parallelism 2 --update-order stop-first --force shop_web",
      "berth service update --constraint-add 'node.labels.zone == a' --replicas 5 shop_web",
    ],
  );
}

function addRollback(service: Command, cli: Cli): void {
  const rollback = service
    .command("rollback")
    .argument("<service>")
    .description("Roll a service back to an earlier version and wait for it to converge")
    .option("--to <version>", "version to restore (default: the last healthy one)")
    .option("-q, --quiet", "suppress progress output");
  addExamples(
    addWaitOptions(rollback).action(
      lazyAction(cli, async () => (await import("../commands/service/rollback.js")).rollbackService),
    ),
    ["berth service rollback shop_web", "berth service rollback --to 3 shop_web"],
  );
}
