import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, addWaitOptions, lazyAction } from "./grammar.js";
import { addUpdateFlags } from "./update-flags.js";

/** `berth service update` */
export function addUpdate(service: Command, cli: Cli): void {
  const update = addUpdateFlags(
    service.command("update").argument("<service>").description("Change a service, and wait until it is so"),
  )
    .option("--force", "replace the tasks even if what they run stays the same")
    .option("--rollback", "go back to the last version that ran well, as berth service rollback does")
    .option("-q, --quiet", "show no progress");
  addExamples(
    addWaitOptions(update).action(
      lazyAction(cli, async () => (await import("../commands/service/update/update.js")).updateService),
    ),
    [
      "berth service update --image nginx:1.28 shop_web",
      "berth service update --env-add MODE=live --env-rm DEBUG shop_web",
      "berth service update --update-parallelism 2 --update-order stop-first --force shop_web",
      "berth service update --constraint-add 'node.labels.zone == a' --replicas 5 shop_web",
    ],
  );
}

/** `berth service rollback` */
export function addRollback(service: Command, cli: Cli): void {
  const rollback = service
    .command("rollback")
    .argument("<service>")
    .description("Make a service what it was in an earlier version, and wait until it is so")
    .option("--to <version>", "the version; without it the last one that ran well")
    .option("-q, --quiet", "show no progress");
  addExamples(
    addWaitOptions(rollback).action(
      lazyAction(cli, async () => (await import("../commands/service/rollback.js")).rollbackService),
    ),
    ["berth service rollback shop_web", "berth service rollback --to 3 shop_web"],
  );
}
