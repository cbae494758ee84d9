import type { Cli } from "../../cli.js";
import { withClient } from "../../client.js";
import { type RemoveOptions, removeServices } from "../remove-services.js";

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
