import { withClient } from "../../client/client.js";
import type { Cli } from "../../process/cli.js";
import { printTasks, type TaskListOptions } from "../shared/list-tasks.js";

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
