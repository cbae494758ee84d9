import type { Cli } from "../../cli.js";
import { withClient } from "../../client.js";
import { printTasks, type TaskListOptions } from "../list-tasks.js";

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
