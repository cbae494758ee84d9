import type { Cli } from "../../cli.js";
import { withClient } from "../../client.js";
import { type RemoveOptions, removeServices } from "../remove-services.js";

/** `berth stack rm STACK…` */
export async function removeStacks(
  cli: Cli,
  options: RemoveOptions,
  stacks: readonly string[],
): Promise<void> {
  await withClient(cli, options, (client) =>
    removeServices(cli, client, { options, requests: stacks.map((stack) => ({ stack })) }),
  );
}
