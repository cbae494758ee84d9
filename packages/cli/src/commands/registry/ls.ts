import { withClient } from "../../client/client.js";
import { printListing } from "../../output/print.js";
import { loginListing } from "../../output/registry-logins.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface LoginListOptions extends GlobalOptions {
  readonly quiet?: boolean;
}

/** `berth registry ls` */
export async function listRegistryLogins(cli: Cli, options: LoginListOptions): Promise<void> {
  const { logins } = await withClient(cli, options, (client) =>
    client.listRegistryLogins({}, { signal: cli.signal }),
  );
  printListing(cli, loginListing(logins, cli.now()), options);
}
