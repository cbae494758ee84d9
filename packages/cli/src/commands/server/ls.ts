import { withClient } from "../../client/client.js";
import { printListing, printWarning } from "../../output/print.js";
import { serverListing } from "../../output/servers.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface ServerListOptions extends GlobalOptions {
  readonly quiet?: boolean;
}

/** `berth server ls` */
export async function listServers(cli: Cli, options: ServerListOptions): Promise<void> {
  const response = await withClient(cli, options, (client) => client.listServers({}, { signal: cli.signal }));
  printListing(cli, serverListing(response.servers, cli.now()), options);
  const { voters, runningVoters } = response;
  const quorum = Math.floor(voters / 2) + 1;
  if (runningVoters < voters && runningVoters === quorum) {
    printWarning(
      cli,
      `${runningVoters} of ${voters} etcd members are running: losing another one blocks all changes`,
    );
  }
}
