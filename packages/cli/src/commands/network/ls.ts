import { withClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { NETWORK_FILTERS, networkListing } from "../../output/networks.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface NetworkListOptions extends GlobalOptions {
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
  /** False with `--no-trunc`. */
  readonly trunc: boolean;
}

/** `berth network ls` */
export async function listNetworks(cli: Cli, options: NetworkListOptions): Promise<void> {
  const { networks } = await withClient(cli, options, (client) =>
    client.listNetworks({ stack: "" }, { signal: cli.signal }),
  );
  const rows = applyFilters(networks, options.filter ?? [], NETWORK_FILTERS);
  printListing(cli, networkListing(rows, { noTrunc: !options.trunc }), options);
}
