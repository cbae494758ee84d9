import { withClient } from "../../client/client.js";
import { imageListing } from "../../output/images.js";
import { printListing, printWarning } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface ImageListOptions extends GlobalOptions {
  readonly all?: boolean;
  readonly quiet?: boolean;
}

/** `berth image ls` */
export async function listImages(cli: Cli, options: ImageListOptions): Promise<void> {
  const { images, warnings } = await withClient(cli, options, (client) =>
    client.listImages({ all: options.all ?? false, diskUsage: false }, { signal: cli.signal }),
  );
  for (const warning of warnings) printWarning(cli, warning);
  printListing(cli, imageListing(images, cli.now()), options);
}
