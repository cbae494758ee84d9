import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth user rm USER…` */
export async function removeUsers(cli: Cli, options: GlobalOptions, users: readonly string[]): Promise<void> {
  const removed: string[] = [];
  await withClient(cli, options, async (client) => {
    for (const name of users) {
      await retryDuringElection(cli, () => client.removeUser({ name }, { signal: cli.signal }));
      removed.push(name);
      if (options.output !== "json") cli.stdout.write(`${name}\n`);
    }
  });
  if (options.output === "json") printJson(cli, { removed });
}
