import { withClient } from "../../client/client.js";
import type { Cli } from "../../process/cli.js";
import { printTasks, type TaskListOptions } from "../shared/list-tasks.js";

/** `berth node ps NODE…` */
export async function listNodeTasks(
  cli: Cli,
  options: TaskListOptions,
  nodes: readonly string[],
): Promise<void> {
  await withClient(cli, options, (client) =>
    printTasks(cli, client, { options, requests: nodes.map((node) => ({ node })) }),
  );
}
