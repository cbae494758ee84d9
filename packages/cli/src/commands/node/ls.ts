import { withClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { NODE_FILTERS, nodeListing } from "../../output/nodes.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface NodeListOptions extends GlobalOptions {
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
}

/** `berth node ls` */
export async function listNodes(cli: Cli, options: NodeListOptions): Promise<void> {
  const { nodes } = await withClient(cli, options, (client) => client.listNodes({}, { signal: cli.signal }));
  printListing(cli, nodeListing(applyFilters(nodes, options.filter ?? [], NODE_FILTERS)), options);
}
