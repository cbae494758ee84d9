import { withClient } from "../../client/client.js";
import { authorityListing, authorityRows } from "../../output/authorities.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface AuthorityListOptions extends GlobalOptions {
  readonly quiet?: boolean;
}

/** `berth ca ls` */
export async function listAuthorities(cli: Cli, options: AuthorityListOptions): Promise<void> {
  const response = await withClient(cli, options, (client) =>
    client.listAuthorities({}, { signal: cli.signal }),
  );
  printListing(cli, authorityListing(authorityRows(response), cli.now()), options);
}
