import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { networkOutcomeJson } from "../../output/networks.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth network rm NETWORK…` */
export async function removeNetworks(
  cli: Cli,
  options: GlobalOptions,
  networks: readonly string[],
): Promise<void> {
  const request = { networks: [...networks] };
  const removed = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => client.removeNetworks(request, { signal: cli.signal })),
  );
  if (options.output === "json") {
    printJson(cli, { removed: removed.networks.map(networkOutcomeJson) });
  } else {
    cli.stdout.write(removed.networks.map(({ name }) => `${name}\n`).join(""));
  }
}
