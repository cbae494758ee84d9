import { withClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { printListing } from "../../output/print.js";
import { SERVICE_FILTERS, serviceListing } from "../../output/services.js";
import type { Cli } from "../../process/cli.js";
import type { ServiceListOptions } from "../service/ls.js";
import { stackNotFoundError } from "./ps.js";

/** `berth stack services STACK` */
export async function listStackServices(cli: Cli, options: ServiceListOptions, stack: string): Promise<void> {
  const { services } = await withClient(cli, options, (client) =>
    client.listServices({ stack }, { signal: cli.signal }),
  );
  if (services.length === 0) throw stackNotFoundError(stack);
  printListing(cli, serviceListing(applyFilters(services, options.filter ?? [], SERVICE_FILTERS)), options);
}
