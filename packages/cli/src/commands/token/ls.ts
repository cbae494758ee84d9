import { withClient } from "../../client/client.js";
import { tokenListing } from "../../output/identities.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface TokenListOptions extends GlobalOptions {
  readonly quiet?: boolean;
}

/** `berth token ls` */
export async function listTokens(cli: Cli, options: TokenListOptions): Promise<void> {
  const { tokens } = await withClient(cli, options, (client) =>
    client.listJoinTokens({}, { signal: cli.signal }),
  );
  printListing(cli, tokenListing(tokens, cli.now()), options);
}
