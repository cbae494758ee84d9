import { withClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { printListing } from "../../output/print.js";
import { VOLUME_FILTERS, volumeListing, volumeRows } from "../../output/volumes.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { printNodeErrors } from "./print-node-errors.js";

export interface VolumeListOptions extends GlobalOptions {
  readonly node?: string;
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
}

/** `berth volume ls` */
export async function listVolumes(cli: Cli, options: VolumeListOptions): Promise<void> {
  const { nodes } = await withClient(cli, options, (client) =>
    client.listVolumes({ node: options.node ?? "", name: "" }, { signal: cli.signal }),
  );
  printNodeErrors(cli, nodes);
  const rows = applyFilters(volumeRows(nodes), options.filter ?? [], VOLUME_FILTERS);
  printListing(cli, volumeListing(rows), options);
}
