import { withClient } from "../../client/client.js";
import { diskUsageListing } from "../../output/images.js";
import { printListing, printWarning } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth image df` */
export async function showImageDiskUsage(cli: Cli, options: GlobalOptions): Promise<void> {
  const { nodes, warnings } = await withClient(cli, options, (client) =>
    client.listImages({ all: true, diskUsage: true }, { signal: cli.signal }),
  );
  for (const warning of warnings) printWarning(cli, warning);
  for (const { node, usage } of nodes) {
    if (usage === undefined) printWarning(cli, `node ${node}: Docker did not report its disk usage in time`);
  }
  printListing(cli, diskUsageListing(nodes), options);
}
