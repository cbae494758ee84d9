import { withClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { printListing } from "../../output/print.js";
import { SERVICE_FILTERS, serviceListing } from "../../output/services.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface ServiceListOptions extends GlobalOptions {
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
}

/** `berth service ls` */
export async function listServices(cli: Cli, options: ServiceListOptions): Promise<void> {
  const { services } = await withClient(cli, options, (client) =>
    client.listServices({ stack: "" }, { signal: cli.signal }),
  );
  printListing(cli, serviceListing(applyFilters(services, options.filter ?? [], SERVICE_FILTERS)), options);
}
