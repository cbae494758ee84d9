import { BerthError } from "@berth/proto";
import { withClient } from "../../client/client.js";
import type { Cli } from "../../process/cli.js";
import { printTasks, type TaskListOptions } from "../shared/list-tasks.js";

/** `berth stack ps STACK` */
export async function listStackTasks(cli: Cli, options: TaskListOptions, stack: string): Promise<void> {
  await withClient(cli, options, async (client) => {
    const { services } = await client.listServices({ stack }, { signal: cli.signal });
    if (services.length === 0) throw stackNotFoundError(stack);
    await printTasks(cli, client, { options, requests: [{ stack }] });
  });
}

export function stackNotFoundError(stack: string): BerthError {
  const message = `no such stack: ${stack}`;
  return new BerthError({ code: "BERTH_NOT_FOUND", message });
}
