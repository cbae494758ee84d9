import { withClient } from "../../client/client.js";
import type { Cli } from "../../process/cli.js";
import { type RemoveOptions, removeServices } from "../shared/remove-services.js";

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
