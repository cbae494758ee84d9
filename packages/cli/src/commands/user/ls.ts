import { withClient } from "../../client/client.js";
import { userListing } from "../../output/identities.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface UserListOptions extends GlobalOptions {
  readonly quiet?: boolean;
}

/** `berth user ls` */
export async function listUsers(cli: Cli, options: UserListOptions): Promise<void> {
  const { users } = await withClient(cli, options, (client) => client.listUsers({}, { signal: cli.signal }));
  printListing(cli, userListing(users, cli.now()), options);
}
