import type { Cli } from "../../cli.js";
import { withClient } from "../../client.js";
import { printTasks, type TaskListOptions } from "../list-tasks.js";

/** `berth service ps SERVICE…` */
export async function listServiceTasks(
  cli: Cli,
  options: TaskListOptions,
  services: readonly string[],
): Promise<void> {
  await withClient(cli, options, (client) =>
    printTasks(cli, client, { options, requests: services.map((service) => ({ service })) }),
  );
}
