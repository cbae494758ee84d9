import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth token rm TOKEN…` */
export async function removeTokens(
  cli: Cli,
  options: GlobalOptions,
  tokens: readonly string[],
): Promise<void> {
  const removed: string[] = [];
  await withClient(cli, options, async (client) => {
    for (const token of tokens) {
      const { id } = await retryDuringElection(cli, () =>
        client.removeJoinToken({ token }, { signal: cli.signal }),
      );
      removed.push(id);
      if (options.output !== "json") cli.stdout.write(`${id}\n`);
    }
  });
  if (options.output === "json") printJson(cli, { removed });
}
