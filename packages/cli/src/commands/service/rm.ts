import { withClient } from "../../client/client.js";
import type { Cli } from "../../process/cli.js";
import { type RemoveOptions, removeServices } from "../shared/remove-services.js";

/** `berth service rm SERVICE…` */
export async function removeNamedServices(
  cli: Cli,
  options: RemoveOptions,
  services: readonly string[],
): Promise<void> {
  await withClient(cli, options, (client) =>
    removeServices(cli, client, { options, requests: [{ services: [...services] }] }),
  );
}
